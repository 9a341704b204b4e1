//! TLS, users and their permissions: `nats-server.conf`, which comes with this crate, as it is; and a credentials file.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::ConnectOptions;
use futures_util::StreamExt;
use support::*;

/// The server with the configuration that comes with this crate.
struct Secured {
    _process: Process,
    port: u16,
    certificate: String,
}

const PASSWORDS: [(&str, &str, &str); 3] = [
    ("worker", "RF_NATS_WORKER_PASSWORD", "of-the-worker"),
    ("alice", "RF_NATS_ALICE_PASSWORD", "of-alice"),
    ("bob", "RF_NATS_BOB_PASSWORD", "of-bob"),
];

fn password_of(user: &str) -> &'static str {
    PASSWORDS.iter().find(|(name, ..)| *name == user).expect("a user").2
}

impl Secured {
    fn start(name: &str) -> Option<Secured> {
        let tools = tools()?;
        let (folder, port) = (scratch(name), free_port());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, made.cert.pem()).expect("a file");
        fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new(&tools.broker);
        command.arg("-c").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("nats-server.conf"));
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        command.env("RF_NATS_STORE", folder.join("store")).env("RF_NATS_CERT", &certificate);
        command.env("RF_NATS_KEY", &key).envs(PASSWORDS.map(|(_, variable, password)| (variable, password)));
        let process = Process(command.stderr(log).stdout(Stdio::null()).spawn().expect("the broker"));
        eventually("the broker listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let certificate = certificate.to_str().expect("UTF-8").to_owned();
        Some(Secured { _process: process, port, certificate })
    }

    fn url(&self, user: &str) -> String {
        format!("tls://{user}:{}@localhost:{}", password_of(user), self.port)
    }

    fn worker(&self, more: &[&str]) -> Worker {
        Worker::start(&[&["--server", &self.url("worker"), "--ca", &self.certificate], more].concat())
    }

    fn client(&self, user: &str, url: &str, count: u64, more: &[&str]) -> Run {
        let (name, ca) = (format!("name={user}"), format!("ca={}", self.certificate));
        Run::start(&self.url(user), "GET", url, count, &[&[&*name, &*ca], more].concat())
    }

    /// Whether this user may do it: the server tells of what it does not permit.
    fn permits(&self, user: &str, act: impl AsyncFnOnce(&async_nats::Client)) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (violated, mut violations) = tokio::sync::mpsc::unbounded_channel();
        runtime.block_on(async {
            let options = ConnectOptions::new().add_root_certificates(self.certificate.as_str().into());
            let options = options.event_callback(move |event| {
                let said = event.to_string().to_lowercase();
                let violated = violated.clone();
                async move {
                    if said.contains("permissions violation") {
                        let _ = violated.send(());
                    }
                }
            });
            let options = options.user_and_password(user.to_owned(), password_of(user).to_owned());
            let client =
                options.connect(format!("tls://localhost:{}", self.port)).await.expect("a connection");
            act(&client).await;
            // What comes back to this comes behind what was said of the other.
            client.flush().await.expect("flushed");
            tokio::time::timeout(Duration::from_millis(500), violations.recv()).await.is_err()
        })
    }

    fn may_publish(&self, user: &str, subject: &str) -> bool {
        self.permits(user, async |client| client.publish(subject.to_owned(), "x".into()).await.expect("sent"))
    }

    fn may_hear(&self, user: &str, subject: &str) -> bool {
        self.permits(user, async |client| {
            let mut heard = client.subscribe(subject.to_owned()).await.expect("sent");
            client.flush().await.expect("flushed");
            let _ = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
        })
    }
}

#[test]
fn the_configuration_that_comes_with_it_works_and_users_do_their_part_alone() {
    let Some(broker) = Secured::start("secured") else { return };
    let worker = broker.worker(&["--no-hooks", "--no-files"]);
    let url = format!("{}/bytes/600000?seed={{n}}", server().http());
    let both = [broker.client("alice", &url, 20, &[]), broker.client("bob", &url, 20, &[])];
    for run in both {
        let ended = run.end();
        assert_eq!((ended.ok, ended.bytes), (20, 20 * 600_000), "{}", ended.said);
    }
    eventually("all is told", || worker.figures().done == 40);

    // A worker cannot submit, neither as itself nor as somebody else.
    for subject in ["rf.1.task.0.alice.1", "rf.1.task.0.worker.1"] {
        assert!(!broker.may_publish("worker", subject), "{subject}");
    }
    // A client cannot read others' tasks, nor what is said to others, nor speak for them.
    let closed = [
        "$JS.API.STREAM.MSG.GET.rf_tasks",
        "$JS.API.DIRECT.GET.rf_tasks",
        "$JS.API.CONSUMER.CREATE.rf_tasks.mine",
        "$JS.API.CONSUMER.MSG.NEXT.rf_tasks.workers_0",
        "$JS.API.STREAM.PURGE.rf_tasks",
        "$JS.API.STREAM.DELETE.rf_tasks",
        "rf.1.task.0.bob.1",
        "rf.1.client.bob.1.piece",
    ];
    for subject in closed {
        assert!(!broker.may_publish("alice", subject), "{subject}");
    }
    for subject in ["rf.1.task.>", "rf.1.client.bob.>", "rf.1.client.>", "rf.1.inbox.>", "_INBOX.>", ">"] {
        assert!(!broker.may_hear("alice", subject), "{subject}");
    }
    // What the checks would say of what is permitted.
    assert!(
        broker.may_publish("alice", "rf.1.task.0.alice.1") && broker.may_hear("alice", "rf.1.client.alice.>")
    );
    assert!(broker.may_publish("worker", "rf.1.client.alice.1.beat"));
}

#[test]
fn a_server_whose_certificate_nobody_knows_is_not_used() {
    let Some(broker) = Secured::start("unknown") else { return };
    let (status, said) =
        Run::start(&broker.url("alice"), "GET", "http://h/", 1, &["timeout=5000", "name=alice"]).result();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("cannot be used") && !said.contains("of-alice"), "{said}");
    let output = Worker::command(&["--server", &broker.url("worker")]).output().expect("the worker");
    assert_eq!(output.status.code(), Some(1));
}

// ---- credentials files ----

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A token in which `issuer` says who somebody is, as `nsc` makes it.
fn token(issuer: &nkeys::KeyPair, subject: &nkeys::KeyPair, name: &str, claims: &str) -> String {
    let (issued_by, about) = (issuer.public_key(), subject.public_key());
    let body = format!(
        r#"{{"jti":"{name}","iat":1700000000,"iss":"{issued_by}","name":"{name}","sub":"{about}","nats":{{{claims},"version":2}}}}"#
    );
    let signed = format!("{}.{}", base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#), base64(body.as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", base64(&signature))
}

#[test]
fn a_credentials_file_logs_in_and_another_does_not() {
    if tools().is_none() {
        return;
    }
    let folder = scratch("tokens");
    let (operator, account) = (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_account());
    let limits = r#""limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1,"mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1}"#;
    let of_account = format!(r#"{limits},"default_permissions":{{"pub":{{}},"sub":{{}}}},"type":"account""#);
    let credentials = |account: &nkeys::KeyPair, name: &str| {
        let user = nkeys::KeyPair::new_user();
        let of_user = r#""pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user""#;
        let (token, seed) = (token(account, &user, name, of_user), user.seed().expect("a seed"));
        let path = folder.join(format!("{name}.creds"));
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    // JetStream needs an account of the system's.
    let system = nkeys::KeyPair::new_account();
    let config = folder.join("nats.conf");
    let text = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}: {}\n{}: {}\n}}\njetstream: enabled\n",
        token(&operator, &operator, "operator", r#""type":"operator""#),
        system.public_key(),
        system.public_key(),
        token(&operator, &system, "system", r#""type":"account""#),
        account.public_key(),
        token(&operator, &account, "account", &of_account)
    );
    fs::write(&config, text).expect("a file");
    let broker =
        Broker::start_with("tokens-server", &["-c", config.to_str().expect("UTF-8")]).expect("a broker");

    let own = credentials(&account, "own");
    let _worker = broker.worker(&["--credentials", &own]);
    let url = format!("{}/hello", server().http());
    assert_eq!(broker.client("GET", &url, 5, &[&format!("credentials={own}")]).end().ok, 5);
    let strange = credentials(&nkeys::KeyPair::new_account(), "strange");
    let (status, said) =
        broker.client("GET", &url, 1, &["timeout=5000", &format!("credentials={strange}")]).result();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("authorization violation"), "{said}");
}
