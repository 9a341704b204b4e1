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

@FUNCTIONS@

#ifdef __cplusplus
}
#endif

#endif
