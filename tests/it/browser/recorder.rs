//! What goes over the wire between a browser and a server, for a look at it afterwards.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Passes bytes on, and keeps a copy.
pub(super) struct Recorder {
    pub(super) url: String,
    connections: Arc<Mutex<Vec<Connection>>>,
}

/// The bytes of one connection: of the client, of the server.
type Connection = Arc<Mutex<[Vec<u8>; 2]>>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// In front of the server at `url`.
    pub(super) fn start(url: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let own = listener.local_addr().expect("an address");
        let server = url.trim_start_matches("http://").to_owned();
        let connections: Arc<Mutex<Vec<Connection>>> = Arc::default();
        let kept = Arc::clone(&connections);
        // Ends with the process: nobody connects any more once the test is over.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    break;
                };
                let connection = Connection::default();
                lock(&kept).push(Arc::clone(&connection));
                let pairs = [
                    (client.try_clone(), server.try_clone()),
                    (Ok(server), Ok(client)),
                ];
                for (side, (from, to)) in pairs.into_iter().enumerate() {
                    if let (Ok(from), Ok(to)) = (from, to) {
                        let connection = Arc::clone(&connection);
                        thread::spawn(move || copy(from, to, side, &connection));
                    }
                }
            }
        });
        Self {
            url: format!("http://{own}"),
            connections,
        }
    }

    /// The status of each answer on a connection, beside the header of the request that it answers.
    /// Bodies are short here, and hold no line that looks like either.
    pub(super) fn exchanges(&self) -> Vec<(String, u16)> {
        let mut exchanges = Vec::new();
        for connection in lock(&self.connections).iter() {
            let [sent, got] = lock(connection).clone();
            let sent = String::from_utf8_lossy(&sent).to_ascii_lowercase();
            let got = String::from_utf8_lossy(&got).into_owned();
            let requests = sent.split("\r\n\r\n").filter_map(|text| {
                let (line, _) = text.split_once(" http/1.1\r\n")?;
                // The content of the request before may stand in front of it.
                let start = line.rfind('}').map_or(0, |end| end + 1);
                Some(text[start..].to_owned())
            });
            let answers = got.split("HTTP/1.1 ").skip(1);
            let statuses = answers.filter_map(|answer| answer.get(..3)?.parse().ok());
            exchanges.extend(requests.zip(statuses));
        }
        exchanges
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, side: usize, connection: &Connection) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        lock(connection)[side].extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
