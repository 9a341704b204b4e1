//! One local server for tests, examples and benchmarks: well-behaved HTTP in httpbin's shapes, answers that
//! break every rule, and proxies good and bad. ROUTES.md beside this crate describes all of it.
//!
//! ```
//! let server = local_server::LocalServer::start().unwrap();
//! assert!(server.http().starts_with("http://127.0.0.1:"));
//! assert!(server.env().iter().any(|(name, _)| name == "RF_TEST_RAW"));
//! ```

mod body;
mod faults;
mod http;
mod ports;
mod proxy;
mod raw;
mod routes;
mod state;
mod text;
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rustls::ServerConfig;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};

pub use faults::Random;
use faults::{Damage, FaultStats};
use http::Manner;
use ports::{Blackhole, Closed, listen, listen_async};
pub use proxy::ProxyStats;
use raw::Raw;
use state::Shared;
pub use state::{Level, Listener};
use tls::{Configs, Files};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const IDLE: Duration = Duration::from_millis(100);
const WORKERS: usize = 2;

const LISTENERS: &[&str] = &[
    "http",
    "http6",
    "http-idle",
    "https",
    "https-idle",
    "https-expired",
    "https-wrong-host",
    "https-untrusted",
    "https-self-signed",
    "https-client-cert",
    "https-tls12",
    "https-tls13",
    "https6",
    "https-odd",
    "unix",
    "unix-tls",
    "raw",
    "raw-tls",
    "tls-silent",
    "tls-plain",
];

/// The running server; stops when dropped, and takes its files away.
pub struct LocalServer {
    variables: Vec<(String, String)>,
    shared: Arc<Shared>,
    files: Files,
    directory: Directory,
    raw: Raw,
    runtime: Option<Runtime>,
    _closed: Closed,
    _blackhole: Blackhole,
}

impl LocalServer {
    /// Starts everything; several servers may run at once.
    pub fn start() -> io::Result<LocalServer> {
        Self::start_with(fault_seed())
    }

    /// The same, with a seed for what the relays of `RF_TEST_FAULTS_*` do.
    pub fn start_with(fault_seed: u64) -> io::Result<LocalServer> {
        ports::raise_descriptor_limit();
        let directory = Directory::new()?;
        let (configs, files) = tls::prepare(&directory.0)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("local-server")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared::new(LISTENERS, proxy::all(), FaultStats::new(fault_seed)));
        let mut start = Start { shared: Arc::clone(&shared), variables: Vec::new() };
        {
            let _inside = runtime.enter();
            start.well_behaved(&configs)?;
            start.unix(&directory.0, &configs)?;
            start.proxies(&configs)?;
            start.faults()?;
        }
        let mut raw = Raw::default();
        start.raw(&mut raw, &configs)?;
        start.files(&files, &directory.0);
        let (closed, blackhole) = (Closed::new()?, Blackhole::new()?);
        start.variable("RF_TEST_CLOSED", format!("http://127.0.0.1:{}", closed.port));
        start.variable("RF_TEST_BLACKHOLE", format!("http://127.0.0.1:{}", blackhole.port));
        Ok(LocalServer {
            variables: start.variables,
            shared,
            files,
            directory,
            raw,
            runtime: Some(runtime),
            _closed: closed,
            _blackhole: blackhole,
        })
    }

    /// Every variable, as pairs of name and value.
    pub fn env(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    /// The value of one variable, such as `RF_TEST_SOCKS5`; panics when there is none, as tests should.
    pub fn var(&self, name: &str) -> &str {
        match self.variables.iter().find(|(known, _)| known == name) {
            Some((_, value)) => value,
            None => panic!("the local server has no {name}"),
        }
    }

    pub fn http(&self) -> &str {
        self.var("RF_TEST_HTTP")
    }

    pub fn https(&self) -> &str {
        self.var("RF_TEST_HTTPS")
    }

    pub fn raw(&self) -> &str {
        self.var("RF_TEST_RAW")
    }

    pub fn raw_tls(&self) -> &str {
        self.var("RF_TEST_RAW_TLS")
    }

    /// A port at which connecting is refused.
    pub fn closed(&self) -> &str {
        self.var("RF_TEST_CLOSED")
    }

    /// A port at which connecting hangs.
    pub fn blackhole(&self) -> &str {
        self.var("RF_TEST_BLACKHOLE")
    }

    pub fn ca(&self) -> &Path {
        &self.files.ca
    }

    pub fn wrong_ca(&self) -> &Path {
        &self.files.wrong_ca
    }

    pub fn client_cert(&self) -> &Path {
        &self.files.client_cert
    }

    pub fn client_key(&self) -> &Path {
        &self.files.client_key
    }

    /// Client certificate and key in one file.
    pub fn client_combined(&self) -> &Path {
        &self.files.client_combined
    }

    pub fn unix_socket(&self) -> PathBuf {
        PathBuf::from(self.var("RF_TEST_UNIX"))
    }

    /// The temporary directory, for files of the tests too.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// What a listener has seen; the names are those of `/connections`.
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.shared.listener(name).map(|listener| &**listener)
    }

    /// What a proxy has seen; the names are those of `/proxy-stats`.
    pub fn proxy(&self, name: &str) -> Option<&ProxyStats> {
        self.shared.proxy(name).map(|proxy| &**proxy)
    }

    /// How often the relays made each fault.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.shared.faults.faults()
    }

    /// How many requests came with `key=`.
    pub fn count(&self, key: &str) -> u64 {
        self.shared.counter(key)
    }

    /// How many requests with `key=` are being delayed, and the most there were at once.
    pub fn level(&self, key: &str) -> Level {
        self.shared.level(key)
    }

    /// Lets through what waits at `/gate/{name}`; tells how many that were.
    pub fn open_gate(&self, name: &str) -> u64 {
        self.shared.gate(name, true)
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.shared.stop.stop();
        self.raw.end();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(500));
        }
    }
}

/// Starts the listeners one after the other and notes where they are.
struct Start {
    shared: Arc<Shared>,
    variables: Vec<(String, String)>,
}

impl Start {
    fn variable(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    fn counted(&self, name: &str) -> io::Result<Arc<Listener>> {
        self.shared
            .listener(name)
            .cloned()
            .ok_or_else(|| io::Error::other(format!("unknown listener {name}")))
    }

    fn manner(
        &self,
        name: &str,
        tls: Option<&Arc<ServerConfig>>,
        idle: Option<Duration>,
    ) -> io::Result<Manner> {
        Ok(Manner {
            shared: Arc::clone(&self.shared),
            listener: self.counted(name)?,
            tls: tls.cloned(),
            idle,
        })
    }

    /// One listener of the well-behaved routes; its port.
    fn tcp(
        &self,
        name: &str,
        address: IpAddr,
        tls: Option<&Arc<ServerConfig>>,
        idle: Option<Duration>,
    ) -> io::Result<u16> {
        let listener = listen_async(address)?;
        let port = listener.local_addr()?.port();
        tokio::spawn(http::serve_tcp(listener, self.manner(name, tls, idle)?));
        Ok(port)
    }

    fn well_behaved(&mut self, configs: &Configs) -> io::Result<()> {
        let port = self.tcp("http", LOCALHOST, None, None)?;
        self.variable("RF_TEST_HTTP", format!("http://127.0.0.1:{port}"));
        self.variable("RF_TEST_HTTP_PORT", port.to_string());
        // Not every machine has IPv6.
        if let Ok(port) = self.tcp("http6", IpAddr::V6(Ipv6Addr::LOCALHOST), None, None) {
            self.variable("RF_TEST_HTTP6", format!("http://[::1]:{port}"));
        }
        let port = self.tcp("http-idle", LOCALHOST, None, Some(IDLE))?;
        self.variable("RF_TEST_HTTP_IDLE", format!("http://127.0.0.1:{port}"));

        let port = self.tcp("https", LOCALHOST, Some(&configs.good), None)?;
        self.variable("RF_TEST_HTTPS", format!("https://127.0.0.1:{port}"));
        self.variable("RF_TEST_HTTPS_NAME", format!("https://localhost:{port}"));
        self.variable("RF_TEST_HTTPS_PORT", port.to_string());
        for (variable, listener, config, idle) in [
            ("RF_TEST_HTTPS_IDLE", "https-idle", &configs.good, Some(IDLE)),
            ("RF_TEST_HTTPS_EXPIRED", "https-expired", &configs.expired, None),
            ("RF_TEST_HTTPS_WRONG_HOST", "https-wrong-host", &configs.wrong_host, None),
            ("RF_TEST_HTTPS_UNTRUSTED", "https-untrusted", &configs.untrusted, None),
            ("RF_TEST_HTTPS_SELF_SIGNED", "https-self-signed", &configs.self_signed, None),
            ("RF_TEST_HTTPS_CLIENT_CERT", "https-client-cert", &configs.client_cert, None),
            ("RF_TEST_HTTPS_TLS12", "https-tls12", &configs.tls12, None),
            ("RF_TEST_HTTPS_TLS13", "https-tls13", &configs.tls13, None),
        ] {
            let port = self.tcp(listener, LOCALHOST, Some(config), idle)?;
            self.variable(variable, format!("https://127.0.0.1:{port}"));
        }
        if let Ok(port) = self.tcp("https6", IpAddr::V6(Ipv6Addr::LOCALHOST), Some(&configs.good), None) {
            self.variable("RF_TEST_HTTPS6", format!("https://[::1]:{port}"));
        }
        for (name, config) in &configs.odd {
            let port = self.tcp("https-odd", LOCALHOST, Some(config), None)?;
            self.variable(&odd_variable("HTTPS", name), format!("https://127.0.0.1:{port}"));
        }
        Ok(())
    }

    fn unix(&mut self, directory: &Path, configs: &Configs) -> io::Result<()> {
        for (variable, name, file, config) in [
            ("RF_TEST_UNIX", "unix", "http.sock", None),
            ("RF_TEST_UNIX_TLS", "unix-tls", "https.sock", Some(&configs.good)),
        ] {
            let path = directory.join(file);
            let listener = UnixListener::bind(&path)?;
            tokio::spawn(http::serve_unix(listener, self.manner(name, config, None)?));
            self.variable(variable, path.to_string_lossy());
        }
        Ok(())
    }

    fn raw(&mut self, raw: &mut Raw, configs: &Configs) -> io::Result<()> {
        for (variable, name, scheme, manner) in [
            ("RF_TEST_RAW", "raw", "http", raw::Manner::Routes(None)),
            ("RF_TEST_RAW_TLS", "raw-tls", "https", raw::Manner::Routes(Some(Arc::clone(&configs.http1)))),
            ("RF_TEST_TLS_SILENT", "tls-silent", "https", raw::Manner::Silent),
            ("RF_TEST_TLS_PLAIN", "tls-plain", "https", raw::Manner::Plain),
        ] {
            let listener = listen(LOCALHOST)?;
            let port = listener.local_addr()?.port();
            raw.serve(listener, manner, &self.shared, &self.counted(name)?)?;
            self.variable(variable, format!("{scheme}://127.0.0.1:{port}"));
            if name == "raw" {
                self.variable("RF_TEST_RAW_PORT", port.to_string());
            }
        }
        Ok(())
    }

    fn proxies(&mut self, configs: &Configs) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        for stats in &shared.proxies {
            let listener = listen_async(LOCALHOST)?;
            let port = listener.local_addr()?.port();
            tokio::spawn(proxy::serve(listener, Arc::clone(stats), Arc::clone(&configs.good)));
            for (name, prefix) in proxy_variables(stats.name) {
                self.variable(name, format!("{prefix}127.0.0.1:{port}"));
            }
        }
        Ok(())
    }

    /// Relays that damage what they carry, each to a listener that was started before.
    fn faults(&mut self) -> io::Result<()> {
        self.variable("RF_TEST_FAULTS_SEED", self.shared.faults.seed.to_string());
        for (variable, to, damage) in [
            ("RF_TEST_FAULTS_HTTP", "RF_TEST_HTTP", Damage::Both),
            ("RF_TEST_FAULTS_HTTPS", "RF_TEST_HTTPS", Damage::Both),
            ("RF_TEST_FAULTS_PROXY", "RF_TEST_PROXY", Damage::Answers),
        ] {
            let base = self.variables.iter().find(|(name, _)| name == to).map(|(_, base)| base.as_str());
            let (start, target) = base.and_then(|base| base.rsplit_once(':')).unwrap_or_default();
            let (start, target) = (start.to_owned(), target.parse().map_err(io::Error::other)?);
            let listener = listen_async(LOCALHOST)?;
            let port = listener.local_addr()?.port();
            tokio::spawn(faults::serve(listener, target, damage, Arc::clone(&self.shared.faults)));
            self.variable(variable, format!("{start}:{port}"));
        }
        Ok(())
    }

    fn files(&mut self, files: &Files, directory: &Path) {
        for (name, path) in [
            ("RF_TEST_CA", files.ca.as_path()),
            ("RF_TEST_CA_DIR", &files.ca_dir),
            ("RF_TEST_WRONG_CA", &files.wrong_ca),
            ("RF_TEST_BOTH_CA", &files.both_ca),
            ("RF_TEST_CLIENT_CERT", &files.client_cert),
            ("RF_TEST_CLIENT_KEY", &files.client_key),
            ("RF_TEST_SERVER_CERT", &files.server_cert),
            ("RF_TEST_SERVER_KEY", &files.server_key),
            ("RF_TEST_CLIENT_COMBINED", &files.client_combined),
            ("RF_TEST_WRONG_CLIENT_COMBINED", &files.wrong_client_combined),
            ("RF_TEST_BAD_PEM", &files.bad_pem),
            ("RF_TEST_SERVER_SECRETS", &files.secrets),
            ("RF_TEST_TRUSTED_CA", &files.trusted_ca),
            ("RF_TEST_DISTRUSTED_CA", &files.distrusted_ca),
            ("RF_TEST_CLIENT_DIR", Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/certificates/client"))),
            ("RF_TEST_DIR", directory),
        ] {
            self.variable(name, path.to_string_lossy());
        }
        for (name, path) in &files.odd {
            self.variable(&odd_variable("CERT", name), path.to_string_lossy());
        }
    }
}

/// What `RF_TEST_FAULTS_SEED` says, or another each time.
fn fault_seed() -> u64 {
    let said = std::env::var("RF_TEST_FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    said.unwrap_or_else(|| {
        UNIX_EPOCH.elapsed().map_or(0, |time| u64::from(time.subsec_nanos()) << 32 | time.as_secs())
    })
}

/// `RF_TEST_HTTPS_OWN_EXPIRED` for "HTTPS" and "own-expired".
fn odd_variable(what: &str, name: &str) -> String {
    format!("RF_TEST_{what}_{}", name.to_uppercase().replace('-', "_"))
}

/// The variables that point to a proxy, each with what stands before its address.
fn proxy_variables(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "http" => &[("RF_TEST_PROXY", "http://")],
        "http-auth" => &[("RF_TEST_PROXY_AUTH", "http://user:pass@"), ("RF_TEST_PROXY_AUTH_BARE", "http://")],
        "digest" => &[
            ("RF_TEST_PROXY_DIGEST", "http://user:pass@"),
            ("RF_TEST_PROXY_DIGEST_WRONG", "http://user:wrong@"),
        ],
        "digest-close" => &[("RF_TEST_PROXY_DIGEST_CLOSE", "http://user:pass@")],
        "https" => &[("RF_TEST_PROXY_TLS", "https://")],
        "silent" => &[("RF_TEST_PROXY_SILENT", "http://")],
        "stall" => &[("RF_TEST_PROXY_STALL", "http://")],
        "502" => &[("RF_TEST_PROXY_502", "http://")],
        "close" => &[("RF_TEST_PROXY_CLOSE", "http://")],
        "garbage" => &[("RF_TEST_PROXY_GARBAGE", "http://")],
        "socks4" => &[("RF_TEST_SOCKS4", "socks4://"), ("RF_TEST_SOCKS4A", "socks4a://")],
        "socks4-refuse" => &[("RF_TEST_SOCKS4_REFUSE", "socks4://")],
        "socks5" => &[("RF_TEST_SOCKS5", "socks5://"), ("RF_TEST_SOCKS5H", "socks5h://")],
        "socks5-auth" => &[
            ("RF_TEST_SOCKS5_AUTH", "socks5://user:pass@"),
            ("RF_TEST_SOCKS5H_AUTH", "socks5h://user:pass@"),
            ("RF_TEST_SOCKS5_AUTH_BARE", "socks5://"),
        ],
        "socks5-silent" => &[("RF_TEST_SOCKS5_SILENT", "socks5://")],
        "socks5-stall" => &[("RF_TEST_SOCKS5_STALL", "socks5://")],
        "socks5-refuse" => &[("RF_TEST_SOCKS5_REFUSE", "socks5://")],
        _ => &[],
    }
}

/// A temporary directory with a name short enough for Unix sockets in it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Directory> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("local-server-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Directory(path)),
                // Left behind by a process of the same number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
