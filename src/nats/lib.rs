//! An executor of requests-futures whose requests are carried out on other machines, by way of NATS JetStream.
//!
//! It stands on the public C interface of requests-futures alone, and links its shared library. The C face is in [`ffi`]
//! (`include/requests_futures_nats.h`), and the program `requests-futures-nats-worker` is [`worker`].
//!
//! # The protocol, version 1
//!
//! A broker cannot promise that a request is carried out at most once; the client can, because the future lives there. So a
//! worker asks the client before it starts anything (the *grant*), and the client's state machine, pending to running, answers.
//!
//! CLIENT is two words: the name that the program has been given, by which a server's permissions know it, and one that nobody
//! else has. HOST is scheme, host and port of a URL.
//!
//! | Subject | What is said | Answer |
//! |---|---|---|
//! | `PREFIX.1.task.PARTITION.CLIENT` | a task: its number, its HOST, its length, its bytes unless there are more than 256 KB | of the stream |
//! | `PREFIX.1.client.CLIENT.ask` | task, attempt, format of the bytes, the worker's name, where the message is acknowledged | yes; no: it is over; later |
//! | `PREFIX.1.client.CLIENT.fetch` | task, place | up to 512 KB of its bytes |
//! | `PREFIX.1.client.CLIENT.beat` | tasks and attempts that run, four times a lease | |
//! | `PREFIX.1.client.CLIENT.piece` | task, attempt, number, up to 512 KB of the reply | yes; no: it is over, or another attempt's |
//! | `PREFIX.1.client.CLIENT.inbox.>` | answers to the client | |
//! | `PREFIX.1.worker.WORKER` | tasks and attempts that are to end | |
//! | `PREFIX.1.inbox.WORKER.>` | answers to the worker, and the tasks that it has pulled | |
//! | `PREFIX.1.member` | a worker has come, is there, is leaving: four times a lease | |
//!
//! The stream `PREFIX_tasks` is a work queue in files. Its description has the version of the protocol, the number of
//! partitions and the lease: who comes first decides, and who comes later reads it. It has a durable pull consumer for each
//! partition, `workers_PARTITION`, whose wait for an acknowledgement is the lease: a worker extends it for as long as it has the
//! message. The client acknowledges when it has the whole reply. An attempt is a number that no other attempt has; the same
//! attempt may ask again, as its answer may have been lost, and a piece that comes twice counts once.
//!
//! Workers share the partitions without asking anybody: each computes from the names of those that it has heard of within a
//! lease who takes which ([`politeness::assigned`]). While they disagree for a moment, two may pull from one partition, which
//! the grants make harmless.
//!
//! # Rules of failure
//!
//! - A request starts only with a grant. One that is over, cancelled or late is refused, and the worker takes it out.
//! - A worker that is silent for a lease is lost. A repeatable request is put into the stream again, and the next that asks may
//!   start it; the reply of the lost one is refused when it comes. Any other request fails with `RF_ERROR_BROKEN_POOL`.
//! - No responders to a question: the client may come back after its server was gone, so the message is put back with a delay.
//!   A client of which nothing was heard for 20 s is gone, and its tasks are taken out of the stream.
//! - No answer to a question: the same attempt asks again, as the client may have granted it. Other tasks of that client are
//!   put back with a delay meanwhile.
//! - While the client has no connection, nobody is lost. When it has one again, workers get two leases more, and what has
//!   not started is sent again under the same name, which the stream takes once.
//! - Every four leases, and one after each connection, the client counts its messages in the stream. Where there are fewer
//!   than tasks, somebody has taken some out, and all that has not started is sent again under other names.
//!
//! The guide `src/doc/guide/nats.md` says what that is to users, and what 100 machines would be like.

#[cfg(not(target_os = "linux"))]
compile_error!("requests-futures-nats is for Linux");

pub mod client;
pub mod ffi;
pub mod message;
pub mod politeness;
mod rf;
pub mod settings;
pub mod worker;
