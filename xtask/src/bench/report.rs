//! The figures for people: a table, a page and a picture.

use std::collections::BTreeMap;
use std::process::Command;

use super::Measured;
use super::figures::{FIGURES, Figure, Goal, STEPS, Step};

/// For a terminal.
pub(super) fn table(measured: &Measured) -> String {
    let mut text = String::new();
    for figure in FIGURES {
        let value = measured.get(figure.name).copied();
        text.push_str(&format!(
            "{:<26} {:>12} {:<13} {}\n",
            figure.name,
            value.map_or("–".to_owned(), number),
            figure.unit,
            verdict(figure, value),
        ));
    }
    text
}

/// For `benches/RESULTS.md`.
pub(super) fn markdown(measured: &Measured, reasons: &BTreeMap<&str, String>) -> String {
    let mut text = String::from(
        "# Results\n\nWritten by `cargo xtask bench`; [README.md](README.md) says how each figure is taken. Times on a machine that \
         others use too are upper bounds. Instruction counts, and ratios of what took turns in one run, are what compares.\n\n",
    );
    text.push_str(&machine());
    text.push_str(
        "\n| figure | value | goal | on what, beside what | measured by |\n|---|---|---|---|---|\n",
    );
    for figure in FIGURES {
        let value = measured.get(figure.name).copied();
        let by = STEPS.iter().find(|step| step.name == figure.step);
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | `{}` |\n",
            figure.name,
            value.map_or("–".to_owned(), |value| format!(
                "{} {}",
                number(value),
                figure.unit
            )),
            verdict(figure, value),
            figure.about,
            by.map(again).unwrap_or_default(),
        ));
    }
    let more: Vec<_> = measured
        .iter()
        .filter(|(name, _)| FIGURES.iter().all(|figure| figure.name != name.as_str()))
        .collect();
    if !more.is_empty() {
        text.push_str("\nFrom the same runs:\n\n| figure | value |\n|---|---|\n");
        for (name, value) in more {
            text.push_str(&format!("| `{name}` | {} |\n", number(*value)));
        }
    }
    if !reasons.is_empty() {
        text.push_str("\nNot measured:\n\n");
        for (name, reason) in reasons {
            text.push_str(&format!("- `{name}`: {reason}\n"));
        }
    }
    text
}

/// The command that makes a figure again.
fn again(step: &Step) -> String {
    match (step.package, step.target) {
        ("peers", _) => "cargo run --profile bench --manifest-path benches/peers/Cargo.toml".to_owned(),
        (package, "--bench") => format!("cargo bench -p {package} --bench {}", step.name),
        (package, _) => format!("cargo run --profile bench -p {package} --bin {}", step.name),
    }
}

fn verdict(figure: &Figure, value: Option<f64>) -> String {
    let Some(goal) = figure.goal else {
        return "–".to_owned();
    };
    let bound = match goal {
        Goal::AtMost(most) => format!("≤ {}", number(most)),
        Goal::AtLeast(least) => format!("≥ {}", number(least)),
    };
    match value {
        None => bound,
        Some(value) if goal.is_met(value) => format!("{bound}, met"),
        Some(_) => format!("{bound}, missed"),
    }
}

/// What it was measured on, as far as the system tells.
fn machine() -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| {
            line.strip_prefix("model name")?
                .split_once(": ")
                .map(|(_, name)| name)
        })
        .collect();
    let kernel = file("/proc/sys/kernel/osrelease");
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let mut parts = Vec::new();
    if let Some(model) = models.first() {
        parts.push(format!("{} × {model}", models.len()));
    }
    if !kernel.is_empty() {
        parts.push(format!("Linux {}", kernel.trim()));
    }
    parts.extend(said("rustc", &["--version"]));
    parts.extend(said("git", &["log", "-1", "--format=commit %h of %cs"]));
    parts.join("; ") + "\n"
}

/// With as many digits as say something, and thousands apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 || large.fract() == 0.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    match rest {
        Some(rest) => format!("{out}.{rest}"),
        None => out,
    }
}

/// A bar: its figure, what it is in nanoseconds for one, its label, and whether it is this gate's.
const BARS: &[(&str, f64, &str, bool)] = &[
    ("allow_path_ns_hot", 1.0, "this gate: check and record", true),
    (
        "layer_ns_hot",
        1.0,
        "this gate: the whole layer, 50 header fields",
        true,
    ),
    ("regorus_ns", 1.0, "regorus: one decision, 1k grants", false),
    ("cedar_ns", 1.0, "cedar: one decision, 1k grants", false),
    ("hs256_ns", 1.0, "JWT HS256 verified", false),
    ("axum_login_ns", 1.0, "axum-login, session in memory", false),
    (
        "auth_request_http_cpu_us",
        1e3,
        "NGINX auth_request, processor time",
        false,
    ),
    ("eddsa_ns", 1.0, "JWT EdDSA verified", false),
    ("casbin_ns", 1.0, "casbin: one decision, 1k policies", false),
];

/// For the README: bars on a logarithmic scale, on a card of its own so that it reads on any page.
pub(super) fn svg(measured: &Measured) -> String {
    const LEFT: f64 = 300.0;
    const WIDTH: f64 = 360.0;
    const TOP: f64 = 62.0;
    const ROW: f64 = 26.0;
    let bars: Vec<_> = BARS
        .iter()
        .filter_map(|(name, scale, label, ours)| {
            let nanoseconds = measured.get(*name)? * scale;
            (nanoseconds > 0.0).then_some((nanoseconds, *label, *ours))
        })
        .collect();
    let (low, high) = bars
        .iter()
        .fold((f64::MAX, 1.0_f64), |(low, high), (value, _, _)| {
            (low.min(*value), high.max(*value))
        });
    // From the power of ten below the least to the one above the most.
    let (from, to) = (low.min(high).log10().floor(), high.log10().ceil());
    let place = |nanoseconds: f64| (nanoseconds.log10() - from) / (to - from).max(1.0) * WIDTH;
    let height = TOP + ROW * bars.len() as f64 + 40.0;
    let bottom = height - 34.0;
    let mut text = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img" aria-label="What enforcement costs a request">
<style>
  .card {{ fill: #ffffff; stroke: #d0d7de }} text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
  .title {{ font-weight: 600; font-size: 15px }} .quiet {{ fill: #59636e; font-size: 12px }}
  .ours {{ fill: #1a7f37 }} .theirs {{ fill: #8c959f }} .grid {{ stroke: #d0d7de }}
  @media (prefers-color-scheme: dark) {{
    .card {{ fill: #0d1117; stroke: #3d444d }} text {{ fill: #f0f6fc }} .quiet {{ fill: #9198a1 }}
    .ours {{ fill: #3fb950 }} .theirs {{ fill: #656c76 }} .grid {{ stroke: #3d444d }}
  }}
</style>
<rect class="card" x="0.5" y="0.5" width="759" height="{}" rx="8"/>
<text class="title" x="20" y="28">What enforcement costs a request</text>
<text class="quiet" x="20" y="47">less is better; each step of the scale is ten times the one before</text>
"#,
        height - 1.0
    );
    let mut power = from;
    while power <= to {
        let x = LEFT + place(10_f64.powf(power));
        text.push_str(&format!(
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\n<text class=\"quiet\" x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{}</text>\n",
            TOP - 4.0,
            bottom + 18.0,
            duration(10_f64.powf(power))
        ));
        power += 1.0;
    }
    for (row, (value, label, ours)) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let class = if *ours { "ours" } else { "theirs" };
        let width = place(*value).max(1.0);
        text.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n<rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" \
             width=\"{width:.1}\" height=\"16\" rx=\"2\"/>\n<text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            LEFT - 10.0,
            y + 15.0,
            y + 2.0,
            LEFT + width + 6.0,
            y + 15.0,
            duration(*value)
        ));
    }
    text.push_str("</svg>\n");
    text
}

fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        short if short < 1e3 => (short, "ns"),
        middle if middle < 1e6 => (middle / 1e3, "µs"),
        long => (long / 1e6, "ms"),
    };
    let digits = usize::from(value < 10.0 && value.fract() > 0.05);
    format!("{value:.digits$} {unit}")
}
