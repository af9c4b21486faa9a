//! How much processor time a server takes for a `304 Not Modified`, connection, parser and all.
//!
//! Each server runs pinned to one processor, wrk to another one. They take turns, round by round; a
//! figure is the least of its rounds, since noise only adds to it.

mod others;
mod serve;

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

const TABLE: &str = "Loopback, GET with a current tag, 304";

/// What is asked for: the tag is that of the server's only resource.
pub(crate) const PATH: &str = "/v1/partners/5/orders/7";

/// Stops its process when it goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Server {
    name: &'static str,
    command: Command,
}

fn main() -> io::Result<()> {
    if let Ok(order) = env::var("SERVE") {
        return serve::serve(&order);
    }
    let arguments: Vec<_> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let (rounds, seconds) = if has("--test") { (1, 1) } else { (7, 3) };
    let folder = env::temp_dir().join(format!("loopback-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, rounds, seconds);
    fs::remove_dir_all(&folder)?;
    let figures = measured?;
    let Some((_, floor)) = figures.first() else {
        return Ok(());
    };
    for (name, nanoseconds) in &figures {
        match has("--json") {
            true => println!(
                "{}",
                json!({
                    "bench": "loopback",
                    "table": TABLE,
                    "case": name,
                    "nanoseconds": nanoseconds,
                    "time_ratio": nanoseconds / floor,
                })
            ),
            false => println!(
                "{name}: {nanoseconds:.0} ns of processor time, {:.2} x",
                nanoseconds / floor
            ),
        }
    }
    Ok(())
}

/// Processor nanoseconds of one request, for each server.
fn measure(
    folder: &std::path::Path,
    rounds: usize,
    seconds: u64,
) -> io::Result<Vec<(&'static str, f64)>> {
    let mut servers = Vec::new();
    for (name, order) in serve::SERVERS {
        let mut command = pinned(0, env::current_exe()?);
        let address = free_address()?;
        command.env("SERVE", format!("{order} {address}"));
        servers.push((Server { name, command }, address));
    }
    for other in others::ALL {
        let address = free_address()?;
        match other.command(folder, address) {
            Ok(command) => servers.push((
                Server {
                    name: other.name(),
                    command,
                },
                address,
            )),
            Err(error) => eprintln!("left out: {}: {error}", other.name()),
        }
    }
    let mut least = vec![f64::INFINITY; servers.len()];
    for _ in 0..rounds {
        for ((server, address), least) in servers.iter_mut().zip(&mut least) {
            let child = server.command.stdout(Stdio::null()).spawn()?;
            let running = Running(child);
            let tag = wait_for(*address)?;
            let nanoseconds = load(&running, *address, &tag, seconds)?;
            *least = least.min(nanoseconds);
        }
    }
    Ok(servers
        .iter()
        .map(|(server, _)| server.name)
        .zip(least)
        .collect())
}

pub(crate) fn pinned(processor: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]).arg(program);
    command
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The tag of the resource, once the server is there to tell it; and whether it means it.
fn wait_for(address: SocketAddr) -> io::Result<String> {
    let started = Instant::now();
    let answer = loop {
        match ask(address, "") {
            Ok(answer) if answer.starts_with("HTTP/1.1") => break answer,
            _ if started.elapsed() > Duration::from_secs(20) => {
                return Err(io::Error::other("the server does not answer"));
            }
            _ => thread::sleep(Duration::from_millis(20)),
        }
    };
    let fields = answer.lines().filter_map(|line| line.split_once(": "));
    let tag = fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("etag"))
        .map(|(_, tag)| tag.trim().to_owned())
        .next();
    // The server that says 304 to everything has none.
    let tag = tag.unwrap_or_else(|| "\"7\"".to_owned());
    let again = ask(address, &format!("If-None-Match: {tag}\r\n"))?;
    if !again.starts_with("HTTP/1.1 304") {
        return Err(io::Error::other(format!("it is not a 304: {again}")));
    }
    Ok(tag)
}

fn ask(address: SocketAddr, fields: &str) -> io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Processor nanoseconds for each of as many requests as fit into so many seconds.
fn load(server: &Running, address: SocketAddr, tag: &str, seconds: u64) -> io::Result<f64> {
    let before = processor_time(server.0.id())?;
    let wrk = pinned(1, "wrk")
        .args(["-t1", "-c32", &format!("-d{seconds}s")])
        .args(["-H", &format!("If-None-Match: {tag}")])
        .arg(format!("http://{address}{PATH}"))
        .output()?;
    let spent = processor_time(server.0.id())? - before;
    let said = String::from_utf8_lossy(&wrk.stdout);
    // `  132480 requests in 3.00s, 16.55MB read`
    let requests = said.lines().find_map(|line| {
        let (count, _) = line.trim().split_once(" requests in ")?;
        count.parse::<f64>().ok()
    });
    let requests = requests.ok_or_else(|| io::Error::other(said.clone().into_owned()))?;
    Ok(spent.as_nanos() as f64 / requests.max(1.0))
}

/// What a process and those that it started have spent, user and system.
fn processor_time(pid: u32) -> io::Result<Duration> {
    let mut spent = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        // In nanoseconds, where `stat` counts in hundredths of a second.
        let ran = fs::read_to_string(task.join("schedstat"))?;
        let ran = ran
            .split_whitespace()
            .next()
            .and_then(|ran| ran.parse().ok());
        spent += Duration::from_nanos(ran.unwrap_or_default());
        let children = fs::read_to_string(task.join("children"))?;
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            spent += processor_time(child)?;
        }
    }
    Ok(spent)
}

/// Ends the program for want of something that it cannot do without.
pub(crate) fn stop(why: &str) -> ! {
    eprintln!("loopback: {why}");
    exit(1);
}
