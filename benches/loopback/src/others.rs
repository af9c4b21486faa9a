//! Servers of other people, with the same resource: their configuration is written for one run.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{PATH, pinned};

#[derive(Clone, Copy)]
pub(crate) enum Other {
    Fastify,
    Go,
    Nginx,
}

pub(crate) const ALL: [Other; 3] = [Other::Nginx, Other::Go, Other::Fastify];

const CONTENT: &str = r#"{"id":7,"total":12}"#;

impl Other {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fastify => "fastify 5, a tag given by hand",
            Self::Go => "Go net/http, ServeContent",
            Self::Nginx => "nginx, a static file",
        }
    }

    /// How it is started at `address`, once it is built.
    pub(crate) fn command(self, folder: &Path, address: SocketAddr) -> io::Result<Command> {
        match self {
            Self::Fastify => fastify(&folder.join("fastify"), address),
            Self::Go => go(&folder.join("go"), address),
            Self::Nginx => nginx(&folder.join("nginx"), address),
        }
    }
}

fn nginx(folder: &Path, address: SocketAddr) -> io::Result<Command> {
    let file = folder.join(PATH.trim_start_matches('/'));
    fs::create_dir_all(file.parent().unwrap_or(folder))?;
    fs::write(&file, CONTENT)?;
    let folder = folder.display();
    fs::write(
        format!("{folder}/nginx.conf"),
        format!(
            "user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
             access_log off; keepalive_requests 100000000; open_file_cache max=100;\n\
             open_file_cache_valid 1h;\n\
             server {{ listen {address}; root {folder}; }}\n\
             }}\n"
        ),
    )?;
    let mut command = pinned(0, installed("nginx")?);
    command.args([
        "-c",
        &format!("{folder}/nginx.conf"),
        "-p",
        &folder.to_string(),
    ]);
    Ok(command)
}

fn go(folder: &Path, address: SocketAddr) -> io::Result<Command> {
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("main.go"),
        format!(
            "package main\n\
             import (\"net/http\"; \"strings\"; \"time\")\n\
             func main() {{\n\
             http.HandleFunc(\"{PATH}\", func(w http.ResponseWriter, r *http.Request) {{\n\
             w.Header().Set(\"ETag\", `\"7\"`)\n\
             http.ServeContent(w, r, \"7.json\", time.Time{{}}, strings.NewReader(`{CONTENT}`))\n\
             }})\n\
             http.ListenAndServe(\"{address}\", nil)\n\
             }}\n"
        ),
    )?;
    let mut build = Command::new(installed("go")?);
    build.args(["build", "-o", "server", "main.go"]);
    carried_out(
        build
            .env("GOCACHE", folder.join("cache"))
            .current_dir(folder),
    )?;
    let mut command = pinned(0, folder.join("server"));
    command.env("GOMAXPROCS", "1");
    Ok(command)
}

fn fastify(folder: &Path, address: SocketAddr) -> io::Result<Command> {
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("package.json"),
        r#"{"name":"server","private":true}"#,
    )?;
    let mut install = Command::new(installed("npm")?);
    install.args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "fastify@5",
        "@fastify/etag@6",
    ]);
    carried_out(install.current_dir(folder))?;
    let (host, port) = (address.ip(), address.port());
    fs::write(
        folder.join("server.js"),
        format!(
            "const app = require('fastify')();\n\
             app.register(require('@fastify/etag'));\n\
             app.get('/v1/partners/:partner/orders/:order', (request, reply) => {{\n\
             reply.header('etag', '\"7\"').type('application/json').send('{CONTENT}');\n\
             }});\n\
             app.listen({{ host: '{host}', port: {port} }});\n"
        ),
    )?;
    let mut command = pinned(0, installed("node")?);
    command
        .arg(folder.join("server.js"))
        .env("NODE_ENV", "production");
    Ok(command)
}

/// Where a program is, if it is anywhere.
fn installed(program: &str) -> io::Result<String> {
    let found = Command::new("which").arg(program).output()?;
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    match path.is_empty() {
        true => Err(io::Error::other(format!("{program} is not installed"))),
        false => Ok(path),
    }
}

fn carried_out(command: &mut Command) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} failed"))),
    }
}
