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
//! | Subject | What is said | Answer |
//! |---|---|---|
//! | `PREFIX.1.task.PARTITION` | a task: the client's name, the number of the task, its length, its bytes unless there are more than 256 KB | of the stream |
//! | `PREFIX.1.client.NAME.ask` | task, attempt, format of the bytes, the worker's name, where the message is acknowledged | yes; no: it is over; later |
//! | `PREFIX.1.client.NAME.fetch` | task, place | up to 512 KB of its bytes |
//! | `PREFIX.1.client.NAME.beat` | tasks and attempts that run, four times a lease | |
//! | `PREFIX.1.client.NAME.piece` | task, attempt, number, up to 512 KB of the reply | yes; no: it is over, or another attempt's |
//! | `PREFIX.1.worker.NAME` | tasks and attempts that are to end | |
//!
//! The stream `PREFIX_1_tasks` is a work queue in files. It has a durable pull consumer for each partition, `workers_PARTITION`,
//! whose wait for an acknowledgement is the lease: a worker extends it while it works. The client acknowledges when it has the
//! whole reply. An attempt is a number that no other attempt has; the same attempt may ask again, as its answer may have been
//! lost, and a piece that comes twice counts once.
//!
//! # Rules of failure
//!
//! - A request starts only with a grant. One that is over, cancelled or late is refused, and the worker takes it out.
//! - A worker that is silent for a lease is lost. A repeatable request is put into the stream again, and the next that asks may
//!   start it; the reply of the lost one is refused when it comes. Any other request fails with `RF_ERROR_BROKEN_POOL`.
//! - No responders to a question: the client may come back after its server was gone, so the message is put back with a delay.
//!   A client of which nothing was heard for 20 s is gone, and its tasks are taken out of the stream.
//! - While the client has no connection, nobody is lost. When it has one again, workers get two leases more, and what has
//!   not started is sent again: under the same name, so that the stream takes it once, or under another when it was away
//!   for so long that workers may have taken it for gone.

#[cfg(not(target_os = "linux"))]
compile_error!("requests-futures-nats is for Linux");

pub mod client;
pub mod ffi;
pub mod message;
mod rf;
pub mod worker;
