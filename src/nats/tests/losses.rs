//! What is lost when something is lost: a worker, the broker, the client. Each test counts at the server that was asked.
//!
//! `tests/long/run nats` repeats these, with more requests (`RF_NATS_REQUESTS`).

mod support;

use std::thread;
use std::time::Duration;

use support::*;

const LEASE_MS: u64 = 3000;
const SLOTS: u64 = 8;
/// Every worker takes any task.
const WORKER: [&str; 6] = ["--slots", "8", "--lease-ms", "3000", "--partitions", "1"];

/// Runs requests, does something to the broker or the first of two workers in the middle, and says what has come of it.
fn lose(key: &str, method: &str, happens: impl FnOnce(&mut Broker, &Worker)) -> Option<(Ended, Vec<u64>)> {
    let count = requests();
    let mut broker = Broker::start(key)?;
    let (first, _second) = (broker.worker(&WORKER), broker.worker(&WORKER));
    let mut client = broker.client(method, &counted(key), count, &[]);
    client.after(key, count, count / 4);
    happens(&mut broker, &first);
    let ended = client.end();
    let counts = counts(key, count);
    println!("{key}: {ended:?}, {} twice", twice(&counts));
    Some((ended, counts))
}

fn is_repeated_and_all_answered((ended, counts): &(Ended, Vec<u64>)) {
    assert_eq!((ended.ok, ended.broken, ended.other), (requests(), 0, 0), "{}", ended.said);
    assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?}");
}

/// What is not repeatable is carried out once, or not at all where its future says that it may have been.
fn is_never_repeated((ended, counts): &(Ended, Vec<u64>)) {
    assert_eq!((ended.ok + ended.broken, ended.other), (counts.len() as u64, 0), "{}", ended.said);
    assert_eq!(twice(counts), 0);
    let carried_out: u64 = counts.iter().sum();
    assert!(
        (ended.ok..=ended.ok + ended.broken).contains(&carried_out),
        "{carried_out} were carried out, {ended:?}"
    );
}

fn killed(_: &mut Broker, worker: &Worker) {
    worker.process.signal(libc::SIGKILL);
}

#[test]
fn a_worker_is_killed_and_all_gets_are_answered() {
    let Some(outcome) = lose("killed-get", "GET", killed) else { return };
    is_repeated_and_all_answered(&outcome);
    assert!(twice(&outcome.1) <= SLOTS, "{} twice", twice(&outcome.1));
}

#[test]
fn a_worker_is_killed_and_no_post_is_carried_out_twice() {
    let Some(outcome) = lose("killed-post", "POST", killed) else { return };
    is_never_repeated(&outcome);
    assert!(outcome.0.broken <= SLOTS, "{:?}", outcome.0);
}

/// So many workers as machines would be, and one in ten of them is lost.
#[test]
#[ignore = "a hundred processes: tests/long/run has it"]
fn ten_of_a_hundred_workers_are_killed() {
    let count = 10 * requests();
    for method in ["GET", "POST"] {
        let key = format!("hundred-{method}");
        let Some(broker) = Broker::start(&key) else { return };
        let options = ["--slots", "2", "--partitions", "1"];
        let workers: Vec<Worker> = (0..100).map(|_| broker.worker(&options)).collect();
        let mut client = broker.client(method, &counted(&key), count, &[]);
        client.after(&key, count, count / 4);
        workers[..10].iter().for_each(|worker| worker.process.signal(libc::SIGKILL));
        let ended = client.end();
        let counts = counts(&key, count);
        println!("{key}: {ended:?}, {} twice", twice(&counts));
        if method == "GET" {
            assert_eq!((ended.ok, ended.broken, ended.other), (count, 0, 0), "{}", ended.said);
            assert!(counts.iter().all(|count| *count >= 1) && twice(&counts) <= 20);
        } else {
            assert!(ended.broken <= 20, "{}", ended.said);
            is_never_repeated(&(ended, counts));
        }
    }
}

/// What may be repeated is not repeated for ever: it may be what ends the workers.
#[test]
fn a_request_that_has_lost_three_workers_is_given_up() {
    let Some(broker) = Broker::start("given-up") else { return };
    let options = ["--slots", "1", "--lease-ms", "1000", "--partitions", "1"];
    let mut worker = broker.worker(&options);
    let mut client =
        broker.client("GET", &format!("{}/delay/60?key=given-up-{{n}}", server().http()), 1, &["lease=1000"]);
    for lost in 1..=3 {
        client.after("given-up", 1, lost);
        worker.process.signal(libc::SIGKILL);
        worker = broker.worker(&options);
    }
    let ended = client.end();
    assert_eq!((ended.ok, ended.broken, ended.other), (0, 1, 0), "{}", ended.said);
    assert!(ended.said.contains("3 workers"), "{}", ended.said);
    assert_eq!(asked("given-up", 1), 3);
}

fn broker_killed(broker: &mut Broker, _: &Worker) {
    broker.kill();
    thread::sleep(Duration::from_secs(1));
    broker.begin();
}

#[test]
fn the_broker_is_killed_and_comes_back_and_all_gets_are_answered() {
    let Some((ended, counts)) = lose("broker-get", "GET", broker_killed) else { return };
    assert_eq!((ended.ok, ended.broken, ended.other), (requests(), 0, 0), "{}", ended.said);
    assert!(counts.iter().all(|count| *count >= 1));
}

#[test]
fn the_broker_is_killed_and_comes_back_and_no_post_is_carried_out_twice() {
    let Some(outcome) = lose("broker-post", "POST", broker_killed) else { return };
    is_never_repeated(&outcome);
}

/// Nothing comes of it for two leases, though the connections are there. That says nothing of the workers.
fn broker_stopped(broker: &mut Broker, _: &Worker) {
    broker.signal(libc::SIGSTOP);
    thread::sleep(Duration::from_millis(2 * LEASE_MS));
    broker.signal(libc::SIGCONT);
}

#[test]
fn the_broker_is_stopped_and_goes_on_and_nothing_is_lost() {
    let Some((ended, counts)) = lose("frozen-post", "POST", broker_stopped) else { return };
    assert_eq!((ended.ok, ended.broken, ended.other), (requests(), 0, 0), "{}", ended.said);
    assert!(counts.iter().all(|count| *count == 1));
}

/// A worker that was silent is lost, and what it says when it goes on changes nothing.
fn stopped(_: &mut Broker, worker: &Worker) {
    worker.process.signal(libc::SIGSTOP);
    thread::sleep(Duration::from_millis(2 * LEASE_MS));
    worker.process.signal(libc::SIGCONT);
}

#[test]
fn a_worker_that_was_stopped_and_goes_on_changes_nothing_for_gets() {
    let Some(outcome) = lose("stopped-get", "GET", stopped) else { return };
    is_repeated_and_all_answered(&outcome);
    assert!(twice(&outcome.1) <= SLOTS, "{} twice", twice(&outcome.1));
}

#[test]
fn a_worker_that_was_stopped_and_goes_on_changes_nothing_for_posts() {
    let Some(outcome) = lose("stopped-post", "POST", stopped) else { return };
    is_never_repeated(&outcome);
    assert!(outcome.0.broken <= SLOTS, "{:?}", outcome.0);
}

#[test]
fn nothing_new_starts_for_a_client_that_is_gone_and_its_tasks_leave_the_stream() {
    let (key, count) = ("client-gone", 1000);
    let Some(broker) = Broker::start(key) else { return };
    let worker = broker.worker(&WORKER);
    let mut client = broker.client("GET", &counted(key), count, &[]);
    client.after(key, count, 50);
    client.process.signal(libc::SIGKILL);
    drop(client);
    // What was running ends.
    eventually("nothing runs", || worker.figures().in_flight == 0);
    let then = asked(key, count);
    assert!(then < count);
    // One that comes now is served at once.
    let next = "client-next";
    let ended = broker.client("GET", &counted(next), 20, &[]).end();
    assert_eq!(ended.ok, 20);
    eventually("the stream is empty", || broker.messages() == 0);
    assert_eq!(asked(key, count), then);
}

/// A program that is stopped while it has tasks in the stream holds up no other one for longer than it takes to see that it
/// takes no answers, however long the lease is.
#[test]
#[ignore = "takes half a minute: tests/long/run has it"]
fn others_are_served_while_a_client_is_stopped() {
    let (key, count) = ("client-stopped", 60);
    let Some(broker) = Broker::start(key) else { return };
    let _worker =
        broker.worker(&["--slots", "2", "--queue", "4", "--lease-ms", "120000", "--partitions", "1"]);
    let mut client = broker.client("POST", &counted(key), count, &[]);
    client.after(key, count, 5);
    client.process.signal(libc::SIGSTOP);
    let ended = broker.client("POST", &counted("client-others"), 20, &[]).end();
    assert_eq!(ended.ok, 20, "{}", ended.said);
    assert!(asked(key, count) < count);
    client.process.signal(libc::SIGCONT);
    let ended = client.end();
    assert_eq!((ended.ok, ended.broken, ended.other), (count, 0, 0), "{}", ended.said);
    assert!(counts(key, count).iter().all(|count| *count == 1));
}

#[test]
fn a_worker_that_is_to_end_finishes_what_it_runs() {
    let (key, count) = ("drained", 200);
    let Some(broker) = Broker::start(key) else { return };
    let (mut first, _second) = (broker.worker(&WORKER), broker.worker(&WORKER));
    let mut client = broker.client("POST", &counted(key), count, &[]);
    client.after(key, count, 50);
    first.process.signal(libc::SIGTERM);
    assert!(first.process.ends().success(), "{:?}", first.said());
    let ended = client.end();
    assert_eq!((ended.ok, ended.broken, ended.other), (count, 0, 0), "{}", ended.said);
    assert!(counts(key, count).iter().all(|count| *count == 1));
}

/// Hosts belong to one worker at a time, and to others when that comes to its end, well or badly.
#[test]
fn hosts_go_over_to_other_workers_when_theirs_comes_or_goes() {
    let (key, count) = ("moving", 600);
    let Some(broker) = Broker::start(key) else { return };
    let options = ["--slots", "4", "--lease-ms", "3000"];
    let mut first = broker.worker(&options);
    let url = format!("http://h{{h}}.test:{}/delay/0.05?key={key}-{{n}}", server().var("RF_TEST_HTTP_PORT"));
    let port = format!("port={}", server().var("RF_TEST_HTTP_PORT"));
    let mut client = broker.client("POST", &url, count, &["hosts=40", &port]);
    client.after(key, count, 40);
    // One comes.
    let second = broker.worker(&options);
    eventually("the second one has some", || second.figures().done > 10);
    // One goes.
    first.process.signal(libc::SIGTERM);
    assert!(first.process.ends().success());
    let third = broker.worker(&options);
    eventually("the third one has some", || third.figures().done > 10);
    // One is killed.
    second.process.signal(libc::SIGKILL);
    let ended = client.end();
    assert_eq!((ended.ok + ended.broken, ended.other), (count, 0), "{}", ended.said);
    assert!(ended.broken <= 4, "{ended:?}");
    assert_eq!(twice(&counts(key, count)), 0);
}

/// What somebody takes out of the stream is put there again.
#[test]
fn messages_that_vanish_from_the_stream_are_sent_again() {
    let (key, count) = ("vanished", 100);
    let Some(broker) = Broker::start(key) else { return };
    let mut client = broker.client("POST", &counted(key), count, &["lease=2000"]);
    client.submitted();
    eventually("all are in the stream", || broker.messages() == count);
    broker.with(async |context| {
        let stream = context.get_stream("rf_tasks").await.expect("the stream");
        stream.purge().await.expect("empty");
    });
    eventually("they are there again", || broker.messages() >= count);
    let _worker = broker.worker(&["--slots", "8"]);
    let ended = client.end();
    assert_eq!((ended.ok, ended.broken, ended.other), (count, 0, 0), "{}", ended.said);
    assert_eq!(twice(&counts(key, count)), 0);
}

/// A server that has lost all that it had is given it again.
#[test]
fn a_broker_that_has_lost_its_files_is_given_them_again() {
    let (key, count) = ("files-lost", 200);
    let Some(mut broker) = Broker::start(key) else { return };
    let worker = broker.worker(&WORKER);
    let mut client = broker.client("POST", &counted(key), count, &[]);
    client.after(key, count, 40);
    broker.kill();
    std::fs::remove_dir_all(broker.folder.join("store")).expect("its files");
    broker.begin();
    let ended = client.end();
    assert_eq!((ended.ok + ended.broken, ended.other), (count, 0), "{}", ended.said);
    assert_eq!(twice(&counts(key, count)), 0);
    drop(worker);
}

#[test]
fn long_bodies_go_in_pieces() {
    let Some(broker) = Broker::start("long") else { return };
    let _worker = broker.worker(&["--no-hooks", "--no-files"]);
    let length = 3_000_000;
    let ended = broker.client("GET", &format!("{}/bytes/{length}?seed={{n}}", server().http()), 4, &[]).end();
    assert_eq!((ended.ok, ended.bytes), (4, 4 * length));
}

/// Three servers that keep three replicas, as many machines would: whichever leads is lost, and goes on being lost.
#[test]
#[ignore = "servers of version 2.9 do not always go on by themselves: tests/long/run has it"]
fn the_server_that_leads_a_cluster_is_killed() {
    let count = requests();
    if tools().is_none() {
        return;
    }
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let routes = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let mut servers: Vec<Broker> = (0..3)
        .map(|number| {
            let (name, cluster) =
                (format!("cluster-{number}"), format!("nats://127.0.0.1:{}", ports[number]));
            let arguments =
                ["-js", "-n", &name, "--cluster_name", "rf", "--cluster", &cluster, "--routes", &routes];
            Broker::start_with(&name, &arguments).expect("a server")
        })
        .collect();
    let all = servers.iter().map(Broker::url).collect::<Vec<_>>().join(",");
    // A stream that is made with three replicas needs a leader and all servers.
    let probe =
        async_nats::jetstream::stream::Config { name: "probe".into(), num_replicas: 3, ..Default::default() };
    eventually("they have found each other", || {
        servers[0].with(async |context| context.create_stream(probe.clone()).await.is_ok())
    });
    let arguments: Vec<&str> = all.split(',').flat_map(|url| ["--server", url]).collect();
    let options = [&arguments[..], &WORKER, &["--replicas", "3"]].concat();
    let _workers = [Worker::start(&options), Worker::start(&options)];
    for method in ["GET", "POST"] {
        let key = format!("cluster-{method}");
        let mut client = Run::start(&all, method, &counted(&key), count, &[]);
        client.after(&key, count, count / 4);
        let asked = servers.iter().find(|server| server.is_running()).expect("a server");
        let leader = asked.with(async |context| {
            let mut stream = context.get_stream("rf_tasks").await.expect("the stream");
            let info = stream.info().await.expect("its state");
            assert_eq!(info.config.num_replicas, 3);
            info.cluster.as_ref().and_then(|cluster| cluster.leader.clone()).expect("a leader")
        });
        let leader: usize =
            leader.strip_prefix("cluster-").and_then(|number| number.parse().ok()).expect("a number");
        servers[leader].kill();
        let ended = client.end();
        println!("{key}: {ended:?}");
        let counts = counts(&key, count);
        if method == "GET" {
            assert_eq!((ended.ok, ended.broken, ended.other), (count, 0, 0), "{}", ended.said);
        } else {
            is_never_repeated(&(ended, counts));
        }
        servers[leader].begin();
    }
}
