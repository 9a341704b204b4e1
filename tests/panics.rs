//! A defect inside a request fails its future and nothing else.

use std::sync::Arc;

use local_server::LocalServer;
use requests_futures::future::monitor::Until;
use requests_futures::future::wait::wait_one;
use requests_futures::message::error::ErrorKind;
use requests_futures::message::options::{Hook, HookCall, NamedHook, Options, Refused};
use requests_futures::message::response::Response;
use requests_futures::session::{CloseMode, Config, Session};

struct Panicking;

impl Hook for Panicking {
    fn call(&self, _: &mut HookCall, _: &Arc<Response>) -> Result<(), Refused> {
        panic!("provoked by a test")
    }

    fn named(&self) -> Result<NamedHook, String> {
        Err("it panics here".into())
    }
}

#[test]
fn a_panic_in_a_request_fails_its_future_and_the_pool_keeps_its_worker() {
    let server = LocalServer::start().expect("the local server");
    let url = server
        .env()
        .into_iter()
        .find_map(|(name, value)| (name == "RF_TEST_HTTP").then_some(format!("{value}/get")))
        .expect("the server has an address");
    let config = Config { max_workers: Some(1), ..Config::default() };
    let session = Session::new(&config).expect("a session");
    let options = Options { hooks: vec![Arc::new(Panicking)], ..Options::default() };
    for _ in 0..3 {
        let future = session.submit("GET".into(), &url, Some(Arc::new(options.clone()))).unwrap();
        let outcome = wait_one(&future, Until::Forever).unwrap();
        let error = outcome.as_ref().err().expect("the hook panicked");
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.message().as_str().contains("provoked by a test"), "{error}");

        let future = session.submit("GET".into(), &url, None).unwrap();
        let outcome = wait_one(&future, Until::Forever).unwrap();
        assert_eq!(outcome.as_ref().expect("the worker goes on").status(), 200);
    }
    session.close(CloseMode::Wait);
}
