//! A policy file's text: parsed into the model, and into a tree that knows on which line each key stands.
//!
//! The tree is apart from the model so that one model serves three formats. TOML and YAML tell lines; JSON tells them for what
//! is not JSON or not a policy file, and for nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};

use crate::policy::lint::Lints;
use crate::policy::model::File;
use crate::policy::shape::{Shape, line_of, shape};
use crate::policy::text::clean;

/// Longest policy file, in bytes: 1 MiB.
pub const SOURCE_MAX: usize = 1024 * 1024;

/// How a policy file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2. Needs the feature `yaml`; refused with an error that says so without it.
    Yaml,
    /// JSON (RFC 8259).
    Json,
}

impl Format {
    /// By the name's ending: `.toml`, `.yaml` or `.yml`, `.json`, in whatever case. `None` for any other.
    pub fn of_path(path: impl AsRef<Path>) -> Option<Self> {
        let ending = path.as_ref().extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Where a value stands: its line, and the lines of what is inside.
#[derive(Debug, Default)]
pub(super) struct Tree {
    line: Option<u32>,
    children: Children,
}

#[derive(Debug, Default)]
enum Children {
    #[default]
    None,
    Keys(BTreeMap<String, Tree>),
    Items(Vec<Tree>),
}

/// A place in the file. A place that the file does not spell out is where its nearest container is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'t> {
    tree: Option<&'t Tree>,
    line: Option<u32>,
}

impl<'t> At<'t> {
    pub(super) fn root(tree: &'t Tree) -> Self {
        Self {
            tree: Some(tree),
            line: None,
        }
    }

    pub(super) fn line(self) -> Option<u32> {
        self.line
    }

    pub(super) fn key(self, name: &str) -> Self {
        self.step(|children| match children {
            Children::Keys(keys) => keys.get(name),
            Children::None | Children::Items(_) => None,
        })
    }

    pub(super) fn item(self, n: usize) -> Self {
        self.step(|children| match children {
            Children::Items(items) => items.get(n),
            Children::None | Children::Keys(_) => None,
        })
    }

    fn step(self, find: impl FnOnce(&'t Children) -> Option<&'t Tree>) -> Self {
        let tree = self.tree.and_then(|tree| find(&tree.children));
        Self {
            tree,
            line: tree.and_then(|tree| tree.line).or(self.line),
        }
    }
}

const SEE_KEYS: &str =
    "`jit policy schema` prints the keys and their types, `jit policy example` a file with most of them";

/// The model and the lines, or `None` with the reasons in `lints`.
pub(super) fn parse(source: &str, format: Format, lints: &mut Lints) -> Option<(File, Tree)> {
    if source.len() > SOURCE_MAX {
        lints.error_on(
            None,
            format!(
                "the file has {} bytes; at most {SOURCE_MAX} are read",
                source.len()
            ),
            "split the set-up, or give several hosts and paths to one resource",
        );
        return None;
    }
    match format {
        Format::Toml => parse_toml(source, lints),
        Format::Yaml => parse_yaml(source, lints),
        Format::Json => parse_json(source, lints),
    }
}

fn parse_toml(source: &str, lints: &mut Lints) -> Option<(File, Tree)> {
    let lines = LineIndex::new(source);
    let (table, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let line = error.span().map(|span| lines.line(span.start));
        lints.error_on(line, clean(error.message()), "the line must be TOML");
    }
    if !errors.is_empty() {
        return None;
    }
    let tree = Tree {
        line: None,
        children: Children::of_table(table.get_ref(), &lines),
    };
    match File::deserialize(toml::Deserializer::from(table)) {
        Ok(file) => Some((file, tree)),
        Err(error) => {
            let line = error.span().map(|span| lines.line(span.start));
            let text = line.and_then(|line| usize::try_from(line).ok());
            let text = text.map_or("", |line| line_of(source, line));
            let Shape { problem, mend } = shape(error.message().trim_end(), text);
            let mend = mend.map(|mend| clean(&mend));
            lints.error_on(line, clean(&problem), mend.as_deref().unwrap_or(SEE_KEYS));
            None
        }
    }
}

impl Children {
    fn of_table(table: &DeTable<'_>, lines: &LineIndex) -> Self {
        let child = |(key, value): (
            &toml::Spanned<toml::de::DeString<'_>>,
            &toml::Spanned<DeValue<'_>>,
        )| {
            let tree = Tree {
                line: Some(lines.line(key.span().start)),
                children: Self::of_value(value.get_ref(), lines),
            };
            (key.get_ref().clone().into_owned(), tree)
        };
        Self::Keys(table.iter().map(child).collect())
    }

    // As deep as the parser lets a document be, which has a limit of its own.
    fn of_value(value: &DeValue<'_>, lines: &LineIndex) -> Self {
        match value {
            DeValue::Table(table) => Self::of_table(table, lines),
            DeValue::Array(items) => {
                let child = |item: &toml::Spanned<DeValue<'_>>| Tree {
                    line: Some(lines.line(item.span().start)),
                    children: Self::of_value(item.get_ref(), lines),
                };
                Self::Items(items.iter().map(child).collect())
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Self::None,
        }
    }
}

/// Where each line starts.
struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    fn new(source: &str) -> Self {
        let after_each_end = source.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(after_each_end).collect(),
        }
    }

    /// The line, counted from 1, that holds the byte at `offset`.
    fn line(&self, offset: usize) -> u32 {
        let lines = self.starts.partition_point(|start| *start <= offset);
        u32::try_from(lines).unwrap_or(u32::MAX)
    }
}

fn parse_json(source: &str, lints: &mut Lints) -> Option<(File, Tree)> {
    match serde_json::from_str(source) {
        Ok(file) => Some((file, Tree::default())),
        Err(error) => {
            let line = u32::try_from(error.line()).ok().filter(|line| *line > 0);
            let mend = if error.is_data() {
                SEE_KEYS
            } else {
                "the file must be JSON"
            };
            // The line is told beside it.
            let message = error.to_string();
            let message = message
                .rsplit_once(" at line ")
                .map_or(&*message, |(message, _)| message);
            lints.error_on(line, clean(&shape(message, "").problem), mend);
            None
        }
    }
}

#[cfg(not(feature = "yaml"))]
fn parse_yaml(_: &str, lints: &mut Lints) -> Option<(File, Tree)> {
    lints.error_on(
        None,
        "this build does not read YAML",
        "write TOML or JSON, or build with the feature `yaml`",
    );
    None
}

#[cfg(feature = "yaml")]
fn parse_yaml(source: &str, lints: &mut Lints) -> Option<(File, Tree)> {
    // `no` is a Norwegian role, not a boolean, and an alias is a second spelling that a reader of the file has to chase.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
            max_nodes: 250_000,
            max_events: 1_000_000,
        },
    };
    let file = serde_saphyr::from_str_with_options::<File>(source, options.clone());
    let parsed = file.and_then(|file| {
        let lines = serde_saphyr::from_str_with_options::<yaml::Lines>(source, options)?;
        Ok((file, lines.0))
    });
    match parsed {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            let line = error.location().and_then(|at| u32::try_from(at.line()).ok());
            let message = error.without_snippet().to_string();
            let mend =
                "write YAML without anchors and aliases, with the keys of the policy file's JSON Schema";
            let problem = shape(message.trim_end(), "").problem;
            lints.error_on(line.filter(|line| *line > 0), clean(&problem), mend);
            None
        }
    }
}

#[cfg(feature = "yaml")]
mod yaml {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
    use serde_saphyr::Spanned;

    use super::{Children, Tree};

    /// The lines of a YAML document.
    pub(super) struct Lines(pub(super) Tree);

    impl<'de> Deserialize<'de> for Lines {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let spanned = Spanned::<Shape>::deserialize(deserializer)?;
            Ok(Self(Tree {
                line: line(&spanned),
                children: spanned.value.0,
            }))
        }
    }

    fn line<T>(spanned: &Spanned<T>) -> Option<u32> {
        u32::try_from(spanned.referenced.line())
            .ok()
            .filter(|line| *line > 0)
    }

    struct Shape(Children);

    impl<'de> Deserialize<'de> for Shape {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(ShapeVisitor).map(Self)
        }
    }

    struct ShapeVisitor;

    impl<'de> Visitor<'de> for ShapeVisitor {
        type Value = Children;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a YAML value")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Children, A::Error> {
            let mut keys = std::collections::BTreeMap::new();
            while let Some(key) = map.next_key::<Spanned<String>>()? {
                let Lines(value) = map.next_value()?;
                let tree = Tree {
                    line: line(&key),
                    ..value
                };
                keys.insert(key.value, tree);
            }
            Ok(Children::Keys(keys))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Children, A::Error> {
            let mut items = Vec::new();
            while let Some(Lines(item)) = seq.next_element()? {
                items.push(item);
            }
            Ok(Children::Items(items))
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Children, D::Error> {
            IgnoredAny::deserialize(deserializer).map(|_| Children::None)
        }

        fn visit_none<E>(self) -> Result<Children, E> {
            Ok(Children::None)
        }

        fn visit_unit<E>(self) -> Result<Children, E> {
            Ok(Children::None)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Children, E> {
            Ok(Children::None)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Children, E> {
            Ok(Children::None)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Children, E> {
            Ok(Children::None)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Children, E> {
            Ok(Children::None)
        }

        fn visit_str<E>(self, _: &str) -> Result<Children, E> {
            Ok(Children::None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_in_the_name() {
        for (path, format) in [
            ("policy.toml", Some(Format::Toml)),
            ("/etc/jit/policy.YML", Some(Format::Yaml)),
            ("a.yaml", Some(Format::Yaml)),
            ("a.toml.json", Some(Format::Json)),
            ("toml", None),
            ("a.conf", None),
        ] {
            assert_eq!(Format::of_path(path), format, "{path}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        let lines = LineIndex::new("ab\n\nc");
        for (offset, line) in [(0, 1), (2, 1), (3, 2), (4, 3), (5, 3)] {
            assert_eq!(lines.line(offset), line, "{offset}");
        }
    }
}
