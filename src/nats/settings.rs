//! How a NATS server is reached, and what all that use its stream agree on.

use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream;
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::mpsc;

use crate::message::{Agreement, Names, PIECE, VERSION};

#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: Vec<String>,
    pub credentials: Option<String>,
    pub ca: Option<String>,
    pub certificate: Option<(String, String)>,
    pub connect_timeout: Duration,
    pub prefix: String,
    /// None: what the stream says, or what is usual where this program makes it.
    pub lease: Option<Duration>,
    pub partitions: Option<u32>,
    pub replicas: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            servers: vec!["nats://127.0.0.1:4222".into()],
            credentials: None,
            ca: None,
            certificate: None,
            connect_timeout: Duration::from_secs(10),
            prefix: "rf".into(),
            lease: None,
            partitions: None,
            replicas: 1,
        }
    }
}

/// What is usual.
const PARTITIONS: u32 = 16;
const LEASE: Duration = Duration::from_secs(5);

/// The longest message: a piece, with what stands before it.
const LONGEST: usize = PIECE + 64 * 1024;

/// How long one answer about the stream is waited for, and when it is asked for again.
const ATTEMPT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(200);

/// Whether the same question may be answered otherwise in a moment: in a cluster that is choosing its leader, or whose
/// servers have just found each other.
fn may_pass(kind: &CreateStreamErrorKind) -> bool {
    let of_cluster = [
        ErrorCode::CLUSTER_INCOMPLETE,
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::CLUSTER_NOT_ACTIVE,
        ErrorCode::CLUSTER_NOT_ASSIGNED,
        ErrorCode::CLUSTER_NOT_AVAILABLE,
        ErrorCode::CLUSTER_NOT_LEADER,
        ErrorCode::INSUFFICIENT_RESOURCES,
    ];
    match kind {
        CreateStreamErrorKind::TimedOut => true,
        CreateStreamErrorKind::JetStream(error) => of_cluster.contains(&error.error_code()),
        _ => false,
    }
}

/// A URL without who logs in, and that: a user and a password.
fn split_login(server: &str) -> (String, Option<(String, String)>) {
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), server),
    };
    match rest.rsplit_once('@') {
        Some((login, host)) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (scheme + host, Some((decoded(user), decoded(password))))
        }
        None => (server.to_owned(), None),
    }
}

/// What stands in a URL with %XX in it.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|_| *byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(other) => {
                decoded.push(other);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl Settings {
    pub fn names(&self) -> Names {
        Names::new(&self.prefix)
    }

    fn seconds(&self) -> f64 {
        self.connect_timeout.as_secs_f64()
    }

    /// Connects within the time that there is for it. `heard` hears of each connection, and of the end of each.
    pub async fn connect(
        &self,
        name: &str,
        inbox: &str,
        heard: mpsc::UnboundedSender<bool>,
    ) -> Result<Client, String> {
        let mut options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(inbox)
            .connection_timeout(self.connect_timeout)
            // Of what is asked of JetStream as well: its contexts have a time-out that they do not use for that.
            .request_timeout(Some(ATTEMPT))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(100 * u64::try_from(attempts).unwrap_or(10).clamp(1, 10))
            })
            .event_callback(move |event| {
                let heard = heard.clone();
                async move {
                    match event {
                        Event::Connected => _ = heard.send(true),
                        Event::Disconnected => _ = heard.send(false),
                        _ => {}
                    }
                }
            });
        if let Some(path) = &self.credentials {
            let read = options.credentials_file(path).await;
            options = read.map_err(|error| format!("The credentials file {path} cannot be read: {error}"))?;
        }
        // What is wrong with a file is said before anybody is asked.
        for path in self.ca.iter().chain(self.certificate.iter().flat_map(|(cert, key)| [cert, key])) {
            let content =
                std::fs::read(path).map_err(|error| format!("The file {path} cannot be read: {error}"))?;
            let is_key = self.certificate.as_ref().is_some_and(|(_, key)| key == path);
            if !is_key && !String::from_utf8_lossy(&content).contains("-----BEGIN CERTIFICATE-----") {
                return Err(format!("The file {path} has no certificate (PEM)"));
            }
        }
        if let Some(path) = &self.ca {
            options = options.add_root_certificates(path.into()).require_tls(true);
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.into(), key.into()).require_tls(true);
        }
        let (servers, logins): (Vec<String>, Vec<_>) =
            self.servers.iter().map(|server| split_login(server)).unzip();
        // The others of a cluster, which are learnt, take the same.
        if let Some((user, password)) = logins.into_iter().flatten().next() {
            options = options.user_and_password(user, password);
        }
        let failed = |why: String| format!("The NATS server {} cannot be used: {why}", servers.join(","));
        match tokio::time::timeout(self.connect_timeout, options.connect(&servers)).await {
            Ok(Ok(client)) => match client.server_info().max_payload {
                most if most < LONGEST => {
                    Err(failed(format!("its max_payload is {most} bytes, and {LONGEST} are needed")))
                }
                _ => Ok(client),
            },
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no connection within {} s", self.seconds()))),
        }
    }

    /// The stream of tasks, which whoever comes first makes, and what is agreed on in it. An error where it has other
    /// settings.
    pub async fn stream(&self, client: &Client) -> Result<(stream::Stream, Agreement), String> {
        let names = self.names();
        let name = names.stream();
        let own = Agreement {
            version: VERSION,
            partitions: self.partitions.unwrap_or(PARTITIONS),
            lease_ms: self.lease.unwrap_or(LEASE).as_millis() as u64,
        };
        let config = stream::Config {
            name: name.clone(),
            description: Some(own.describe()),
            subjects: vec![names.tasks()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: stream::StorageType::File,
            discard: stream::DiscardPolicy::New,
            num_replicas: self.replicas,
            max_age: Duration::from_secs(24 * 60 * 60),
            ..stream::Config::default()
        };
        let context = async_nats::jetstream::new(client.clone());
        let until = Instant::now() + self.connect_timeout;
        let stream = loop {
            let made = context.get_or_create_stream(config.clone());
            match tokio::time::timeout_at(until.into(), made).await {
                Ok(Ok(stream)) => break stream,
                Ok(Err(error)) if may_pass(&error.kind()) && Instant::now() + AGAIN < until => {
                    tokio::time::sleep(AGAIN).await;
                }
                // A server that has just come back answers what it was asked before it knew its cluster never.
                Ok(Err(error))
                    if error.kind() == CreateStreamErrorKind::TimedOut && Instant::now() < until => {}
                Ok(Err(error)) if error.kind() != CreateStreamErrorKind::TimedOut => {
                    return Err(format!("The stream {name} cannot be used: {error}"));
                }
                _ => {
                    return Err(format!(
                        "The stream {name} cannot be used: no answer within {} s, from a server without JetStream, or one that does not permit it to this user under this name; where only workers may make the stream, one has to come first",
                        self.seconds()
                    ));
                }
            }
        };
        let found = &stream.cached_info().config;
        let other =
            |what: &str| Err(format!("The stream {name} has other settings than this program: {what}"));
        let description = found.description.clone().unwrap_or_default();
        let Some(agreed) = Agreement::read(&description) else {
            return other(&format!("its description is \"{description}\""));
        };
        if agreed.version != VERSION {
            let Agreement { version, .. } = agreed;
            return Err(format!(
                "The stream {name} is of version {version} of the protocol, and this program speaks version {VERSION}"
            ));
        }
        let differs = [
            (found.subjects != config.subjects, format!("its subjects are {}", found.subjects.join(", "))),
            (found.retention != config.retention, "its retention is not WorkQueue".into()),
            (found.storage != config.storage, "its storage is not File".into()),
            (
                self.partitions.is_some_and(|partitions| partitions != agreed.partitions),
                format!("it has {} partitions, not {}", agreed.partitions, own.partitions),
            ),
            (
                self.lease.is_some_and(|lease| lease.as_millis() as u64 != agreed.lease_ms),
                format!("its lease is {} ms, not {} ms", agreed.lease_ms, own.lease_ms),
            ),
        ];
        match differs.iter().find(|(differs, _)| *differs) {
            Some((_, what)) => other(what),
            None => Ok((stream, agreed)),
        }
    }

    /// The same, so that a stream that is made again is as it was.
    pub fn agreed(&mut self, agreed: Agreement) {
        self.partitions = Some(agreed.partitions);
        self.lease = Some(Duration::from_millis(agreed.lease_ms));
    }
}

/// A name that nobody else has.
pub fn nuid() -> String {
    nuid::next().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_logs_in_is_taken_out_of_a_url() {
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(
            split_login("nats://user:p@ss@host:4222"),
            ("nats://host:4222".into(), login("user", "p@ss"))
        );
        assert_eq!(split_login("user:p%40s%3a%zz@host"), ("host".into(), login("user", "p@s:%zz")));
        assert_eq!(split_login("tls://user@host"), ("tls://host".into(), login("user", "")));
        assert_eq!(split_login("tls://host"), ("tls://host".into(), None));
    }
}
