//! Text that people typed: plain everywhere, bounded, and free of characters that rewrite what stands around them.

use unicode_normalization::UnicodeNormalization;

/// Longest reason, comment or finding, in characters after cleaning.
pub const REASON_MAX: usize = 500;

/// Whether `c` is a control, a format or a bidirectional character, or one that shows as nothing: text with such characters can
/// look like other text, or move the cursor of the terminal that prints it (Unicode TR 36 §2.10, CVE-2021-42574).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Cleans a reason or comment: line ends become spaces, unprintable characters go, the rest is put in Unicode normal form C and
/// trimmed.
pub fn clean(text: &str) -> String {
    let spaced = text
        .chars()
        .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    let kept: String = spaced.filter(|c| !is_unprintable(*c)).nfc().collect();
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rewrites_its_surroundings_goes() {
        let typed = "  fix\r\nINC-1 \u{1b}[31m\u{202e}gnp\u{200b}.exe\u{0000} e\u{301} ";
        assert_eq!(clean(typed), "fix  INC-1 [31mgnp.exe \u{e9}");
    }
}
