//! docs/whip.md has each requirement of both documents, and names the test that shows it: do the tests exist?

use std::collections::BTreeSet;
use std::path::Path;

/// The tables' rows: section, requirement, where, test.
fn rows() -> Vec<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/whip.md")).expect("the document");
    let (_, text) = text.split_once("\n## RFC 9725").expect("the tables");
    let begins = |line: &&str| {
        let first = line.strip_prefix("| ").and_then(|line| line.chars().next());
        first.is_some_and(|first| first.is_ascii_digit())
    };
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    text.lines().filter(begins).map(cells).collect()
}

/// All tests here, as `file::name`, and the browsers' and encoders'.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("tests/whip")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).expect("a file");
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let is_test = line.contains("#[tokio::test") || line.contains("#[test]");
            let name = lines.peek().and_then(|next| next.split("fn ").nth(1));
            if let Some(name) = name.filter(|_| is_test) {
                all.insert(format!("{file}::{}", name.split('(').next().unwrap()));
            }
        }
    }
    all
}

#[test]
fn each_requirement_has_its_row_and_each_row_a_test_that_exists_or_says_why_not() {
    let (rows, tests) = (rows(), tests());
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for row in &rows {
        assert_eq!(row.len(), 4, "section, requirement, where, test: {row:?}");
        let quoted = row[3].split('`').skip(1).step_by(2);
        let named = quoted.filter(|quoted| quoted.contains("::"));
        let mut count = 0;
        for name in named {
            count += 1;
            assert!(tests.contains(name), "{name} is no test: {row:?}");
        }
        assert!(
            count > 0 || row[3].starts_with("– "),
            "no test and no reason: {row:?}"
        );
    }
}
