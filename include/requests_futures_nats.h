/*
 * requests_futures_nats.h - an executor whose requests are carried out on other machines, by way of NATS.
 *
 *   rf_nats_config *config;
 *   rf_executor *executor;
 *   rf_nats_config_new(&config);
 *   rf_nats_config_set_servers(config, "nats://broker.example:4222");
 *   if (rf_nats_executor_new(config, &executor) != RF_OK) fprintf(stderr, "%s\n", rf_nats_config_error(config));
 *   rf_config_set_executor(...), and all else as with any other executor.
 *
 * Workers are the program requests-futures-nats-worker, on any machine that reaches the same NATS server. Whatever is not data
 * is refused as for worker processes, and so are files of this machine: rf_task_encode_for says what can travel.
 *
 * This file is generated from src/nats/ffi.rs: do not edit it.
 */
#ifndef REQUESTS_FUTURES_NATS_H
#define REQUESTS_FUTURES_NATS_H

#include "requests_futures.h"

#ifdef __cplusplus
extern "C" {
#endif

// How a NATS server is reached, and what is agreed on with the workers.
typedef struct rf_nats_config rf_nats_config;

// Makes a configuration with the defaults that the functions below tell. Free it with rf_nats_config_free.
rf_status rf_nats_config_new(struct rf_nats_config **out);

// URLs of the servers, with commas between them: any of a cluster, the others are learnt. "tls://..." is TLS, and
// "nats://USER:PASSWORD@..." logs in. Default: nats://127.0.0.1:4222. RF_E_INVALID: empty.
rf_status rf_nats_config_set_servers(struct rf_nats_config *config, const char *servers);

// A credentials file of NATS (`nsc generate creds`).
rf_status rf_nats_config_set_credentials(struct rf_nats_config *config, const char *path);

// The certificates (PEM) that the server's is checked with, beside the system's. With it, TLS is demanded.
rf_status rf_nats_config_set_ca(struct rf_nats_config *config, const char *path);

// This program's certificate and its key (PEM), for servers that ask for one.
rf_status rf_nats_config_set_cert(struct rf_nats_config *config, const char *cert, const char *key);

// How long rf_nats_executor_new waits for an answer of the server; one that refuses is an error at once. Default 10 s.
// RF_E_INVALID: less than 1 ms.
rf_status rf_nats_config_set_connect_timeout(struct rf_nats_config *config, int64_t ms);

// A worker that is silent for so long is lost: what it was doing is done again by another one where that does no harm
// (rf_task_is_repeatable), and fails with RF_ERROR_BROKEN_POOL where it might, or when three workers were lost with it. It
// is one for all that use the stream, and decided by who makes that: 5 s unless this says otherwise. Where the stream is
// there with another lease, rf_nats_executor_new fails, and without this call it takes what is there: to change it, delete
// the stream (PREFIX_tasks) when nobody uses it, or take another prefix. RF_E_INVALID: less than 100 ms, or more than an
// hour.
rf_status rf_nats_config_set_lease(struct rf_nats_config *config, int64_t ms);

// The first word of all subjects and of the stream's name, as the workers have it (--prefix). Default "rf". RF_E_INVALID: not
// of letters, digits, _ and -.
rf_status rf_nats_config_set_prefix(struct rf_nats_config *config, const char *prefix);

// The word by which the server's permissions know this program: its tasks are published, and its answers heard, under
// subjects that have it. Default "any". RF_E_INVALID: not of letters, digits, _ and -.
rf_status rf_nats_config_set_name(struct rf_nats_config *config, const char *name);

// Over how many partitions the tasks go, by scheme, host and port. One worker at a time takes those of a partition, so that
// one host's connections and limits are in one place; 1: every worker takes any task. It is one for all that use the
// stream, and decided by who makes that: 16 unless this says otherwise. Where the stream is there with another number,
// rf_nats_executor_new fails, as with another lease. RF_E_INVALID: 0, or more than 1,000.
rf_status rf_nats_config_set_partitions(struct rf_nats_config *config, uint32_t partitions);

// How many servers of a cluster keep the stream, where this program makes it. Default 1. RF_E_INVALID: not 1 to 5.
rf_status rf_nats_config_set_replicas(struct rf_nats_config *config, uint32_t replicas);

// Why the last rf_nats_executor_new with it has failed, in words; "" before. It lives until the next one, or until the
// configuration is freed. NULL for NULL.
const char *rf_nats_config_error(const struct rf_nats_config *config);

// Frees it. Executors that were made with it do not need it. NULL does nothing.
void rf_nats_config_free(struct rf_nats_config *config);

// Makes an executor whose requests are carried out by requests-futures-nats-worker processes: connects, and makes the stream
// unless it is there, or the server's permissions leave that to workers, of which one then has to come first. `config` may be
// NULL, which leaves no way to the text of an error. It is for rf_config_set_executor, and freed with rf_executor_free; each
// has a connection and two threads, and its rf_executor_max_workers is 0. Futures end, and done callbacks run, on one thread
// of its own: no other future of it ends while a callback runs, so that a callback must not wait for one, nor close the
// session. RF_FAILED: the server cannot be reached, refuses, or has a stream with other settings; rf_nats_config_error says
// what. RF_E_NULL: `out` is NULL.
rf_status rf_nats_executor_new(struct rf_nats_config *config, rf_executor **out);

#ifdef __cplusplus
}
#endif

#endif
