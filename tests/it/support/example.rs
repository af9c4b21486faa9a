//! Runs an example as a process of its own, as a user would.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// An example that is serving; killed when it is dropped.
pub(crate) struct Example {
    process: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Example {
    /// Starts `name` on a free port, and waits until it serves.
    pub(crate) fn start(name: &str, environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(binary(name))
            .env("PORT", "0")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let stdout = process.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the example says where it listens");
        let url = line.trim().strip_prefix("listening on ");
        let url = url
            .unwrap_or_else(|| panic!("{name} said {line:?}"))
            .to_owned();
        Self { process, url }
    }
}

impl Example {
    /// As a power failure does, to the process alone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the example can be killed");
        self.process.wait().expect("the example ends");
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.process.id().to_string()])
            .status();
        assert!(sent.expect("there is a kill").success());
    }

    /// How it ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("the example ends")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs an example that ends by itself.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Output {
    let output = Command::new(binary(name)).args(arguments).output();
    output.expect("the example starts")
}

/// The example's binary, built if it is missing or old; once, for a test may start it often.
fn binary(name: &str) -> PathBuf {
    static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("a test is two folders deep");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.iter().any(|built| built == name) {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", name]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.expect("cargo runs").success(), "{name} builds");
        built.push(name.to_owned());
    }
    profile.join("examples").join(name)
}
