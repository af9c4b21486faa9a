//! The dialogue in the README, held against the example that it talks of.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::support::example::Example;

/// One command of the README and what it prints there.
struct Turn {
    command: String,
    printed: String,
}

#[test]
fn the_dialogue_in_the_readme_is_what_the_quickstart_answers() {
    let readme = include_str!("../../README.md");
    hold("quickstart", &turns(readme, "$ curl -s --etag-save tag"));
}

#[test]
fn the_dialogue_in_the_readme_is_what_orders_answers() {
    let readme = include_str!("../../README.md");
    hold("orders", &turns(readme, "$ order=localhost:3000"));
}

/// Sends what the dialogue sends, and compares what comes back.
fn hold(name: &str, dialogue: &[Turn]) {
    assert!(dialogue.len() >= 5, "the dialogue was found");
    let example = Example::start(name, &[]);
    let folder = std::env::temp_dir().join(format!("readme-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for the tag");
    let mut expected = Normal::default();
    let mut real = Normal::default();
    // Variables that the terminal would remember.
    let mut variables = String::new();
    for turn in dialogue {
        let command = turn
            .command
            .replace("localhost:3000", example.url.trim_start_matches("http://"));
        if turn.printed.is_empty() {
            variables += &format!("{command}; ");
            continue;
        }
        let output = Command::new("bash")
            .args(["-c", &(variables.clone() + &command)])
            .current_dir(&folder)
            .output()
            .expect("bash and curl are installed");
        let printed = String::from_utf8(output.stdout).expect("the answers are text");
        assert_eq!(
            real.text(&printed),
            expected.text(&turn.printed),
            "$ {}",
            turn.command
        );
    }
    fs::remove_dir_all(folder).expect("the folder goes");
}

/// The turns of the code block that starts with `start`.
fn turns(readme: &str, start: &str) -> Vec<Turn> {
    let block = readme.split_once(start).map_or("", |(_, block)| block);
    let block = format!("{start}{}", block.split("```").next().unwrap_or_default());
    let mut turns: Vec<Turn> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), turns.last_mut()) {
            (Some(command), _) => turns.push(Turn {
                command: command.to_owned(),
                printed: String::new(),
            }),
            (None, Some(turn)) => turn.printed += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    turns
}

/// Replaces what differs between two runs. A tag becomes its place in the order of first
/// appearance, so that equal tags stay equal and different ones different.
#[derive(Default)]
struct Normal {
    versions: HashMap<String, usize>,
}

impl Normal {
    fn text(&mut self, text: &str) -> String {
        let lines = text.trim().lines().map(|line| self.line(line.trim_end()));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&mut self, line: &str) -> String {
        // The length of a problem document depends on how many digits the versions in it have.
        if let Some((field @ ("date" | "content-length"), _)) = line.split_once(": ") {
            return field.to_owned();
        }
        let mut normal = String::new();
        for word in line.split_inclusive([' ', '"']) {
            let (word, end) = word.split_at(word.len() - usize::from(word.ends_with([' ', '"'])));
            normal += &self.word(word);
            normal += end;
        }
        normal
    }

    fn word(&mut self, word: &str) -> String {
        // `epoch.number`, at the end of a sentence perhaps.
        let version = word.trim_end_matches('.');
        let parts = version.split_once('.');
        if parts.is_some_and(|(epoch, _)| epoch.len() == 13) {
            let next = self.versions.len();
            let place = self.versions.entry(version.to_owned()).or_insert(next);
            return format!("version {place}");
        }
        match word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => "trace id".to_owned(),
            false => word.to_owned(),
        }
    }
}
