//! nginx and Apache, as they compress in front of a service.

use std::fs;
use std::path::Path;

use crate::support::daemon::{Daemon, is_missing};

/// A proxy that is serving.
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) url: String,
    _server: Daemon,
}

impl Proxy {
    /// nginx with these lines in its `http` and its `server` block; None, said aloud, where there
    /// is none.
    pub(super) fn nginx(http: &str, server: &str) -> Option<Self> {
        if is_missing(&["nginx"]) {
            return None;
        }
        let (daemon, url) = Daemon::listening(|folder, port| {
            let at = folder.display();
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temporary = temporary.map(|name| format!("{name}_temp_path {at}/{name};"));
            let temporary = temporary.join("\n");
            let configuration = format!(
                "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temporary}\n{http}\n\
                 server {{\nlisten 127.0.0.1:{port};\nproxy_http_version 1.1;\n{server}\n}}\n}}\n"
            );
            let configuration = configuration.replace("$folder", &at.to_string());
            command(
                folder,
                "nginx.conf",
                &configuration,
                &["nginx", "-e", "stderr", "-p", ".", "-c"],
            )
        });
        Some(Self {
            name: "nginx",
            url,
            _server: daemon,
        })
    }

    /// nginx that compresses, in front of the service at `upstream`.
    pub(super) fn compressing_nginx(upstream: &str) -> Option<Self> {
        let gzip = "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 100;";
        Self::nginx(gzip, &format!("location / {{ proxy_pass {upstream}; }}"))
    }

    /// Apache that compresses, in front of the service at `upstream`; None, said aloud, where there
    /// is none.
    pub(super) fn compressing_apache(upstream: &str) -> Option<Self> {
        if is_missing(&["apache2"]) {
            return None;
        }
        let (daemon, url) = Daemon::listening(|folder, port| {
            let at = folder.display();
            let modules = [
                "mpm_event",
                "authz_core",
                "filter",
                "deflate",
                "proxy",
                "proxy_http",
            ];
            let modules = modules.map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            });
            let configuration = format!(
                "ServerRoot {at}\nServerName 127.0.0.1\nListen 127.0.0.1:{port}\nPidFile {at}/pid\n\
                 DefaultRuntimeDir {at}\nErrorLog /dev/stderr\nUser nobody\nGroup nogroup\n{}\
                 SetOutputFilter DEFLATE\nProxyPass / {upstream}/\n",
                modules.concat()
            );
            command(
                folder,
                "apache.conf",
                &configuration,
                &["apache2", "-DFOREGROUND", "-f"],
            )
        });
        Some(Self {
            name: "Apache",
            url,
            _server: daemon,
        })
    }
}

/// Writes a configuration, and completes the command line that ends with it.
fn command(folder: &Path, name: &str, configuration: &str, start: &[&str]) -> Vec<String> {
    let path = folder.join(name);
    fs::write(&path, configuration).expect("a folder of our own");
    let mut command: Vec<_> = start.iter().map(ToString::to_string).collect();
    command.push(path.display().to_string());
    // Debian has them where only an administrator's path leads.
    command[0] = match Path::new("/usr/sbin").join(start[0]) {
        path if path.exists() => path.display().to_string(),
        _ => start[0].to_owned(),
    };
    command
}
