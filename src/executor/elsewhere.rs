//! Where a request runs that was submitted in another process, or is to be run as if it were.

use std::sync::{Arc, Weak};

use super::wire::{self, EncodedTask, FindHook, ForeignTask, LastBody, Malformed};
use crate::control::Control;
use crate::error::Error;
use crate::fork::PerProcess;
use crate::http::adapter::{Adapter, AdapterSettings};
use crate::http::auth::DigestCache;
use crate::http::cookies::{Cookie, Jar};
use crate::lock::Mutex;
use crate::options::Borrowed;
use crate::response::SentBody;
use crate::session::{Identity, Outcome, Request, Session};

/// What the requests of one session share wherever they run: connections and nonces.
#[derive(Clone)]
struct Kept {
    adapter: Arc<Adapter>,
    digest: Arc<DigestCache>,
}

struct Known {
    session: Identity,
    adapter: Weak<Adapter>,
    digest: Weak<DigestCache>,
    /// Held for a session that lives elsewhere; one of this process holds its own.
    kept: Option<Kept>,
}

/// So many sessions of other processes are remembered, those used last.
const MOST: usize = 16;

/// The most recent last.
static KNOWN: PerProcess<Mutex<Vec<Known>>> = PerProcess::new(|_| Mutex::default());

/// The session is of this process: what is encoded here and executed here uses the same connections.
pub fn remember(session: &Session) {
    let identity = session.identity();
    let mut known = KNOWN.get().lock();
    if known.iter().any(|one| one.session == identity) {
        return;
    }
    known.retain(|one| one.adapter.strong_count() > 0);
    let shared = session.shared();
    let (adapter, digest) = (Arc::downgrade(&shared.adapter), Arc::downgrade(&shared.digest));
    known.push(Known { session: identity, adapter, digest, kept: None });
}

fn find(session: Identity, settings: AdapterSettings) -> Kept {
    let mut known = KNOWN.get().lock();
    if let Some(at) = known.iter().position(|one| one.session == session) {
        let one = known.remove(at);
        if let (Some(adapter), Some(digest)) = (one.adapter.upgrade(), one.digest.upgrade()) {
            known.push(one);
            return Kept { adapter, digest };
        }
    }
    let kept = Kept { adapter: Arc::new(Adapter::new(settings)), digest: Arc::default() };
    let (adapter, digest) = (Arc::downgrade(&kept.adapter), Arc::downgrade(&kept.digest));
    known.push(Known { session, adapter, digest, kept: Some(kept.clone()) });
    let foreign = |one: &Known| one.kept.is_some();
    let gone = match known.iter().filter(|one| foreign(one)).count() > MOST {
        true => known.iter().position(foreign).map(|at| known.remove(at)),
        false => None,
    };
    drop(known);
    // Its connections are closed without the lock.
    drop(gone);
    kept
}

/// The request as bytes for [`execute`], here or elsewhere.
pub fn encode(request: &Request, may_attach: bool) -> Result<EncodedTask, Error> {
    wire::encode_task(request, may_attach).map_err(|error| error.at(&request.url))
}

/// A request from elsewhere, about to run.
pub struct Job {
    request: Request,
    body: SentBody,
}

impl Job {
    /// The inner error is the outcome.
    pub fn open(
        message: &[u8],
        attachment: Option<Arc<dyn Borrowed>>,
        find_hook: FindHook,
    ) -> Result<Result<Job, Error>, Malformed> {
        let task = match wire::decode_task(message, attachment, find_hook)? {
            Ok(task) => task,
            Err(error) => return Ok(Err(error)),
        };
        let ForeignTask { session, settings, method, url, defaults, options, environment, .. } = task;
        let Kept { adapter, digest } = find(session, settings);
        let defaults = Arc::new(defaults);
        let session = Session::stand_in(defaults.clone(), Jar::copy_of(task.cookies), adapter, digest);
        let request = Request {
            session,
            method: method.into(),
            url: url.into(),
            defaults,
            options: Some(Arc::new(options)),
            environment: environment.map(Arc::new),
            deadline: task.deadline,
        };
        Ok(Ok(Job { request, body: task.body }))
    }

    pub fn body(&self) -> &SentBody {
        &self.body
    }

    /// Whether the body is to be read by whoever gets the response.
    pub fn is_streamed(&self) -> bool {
        let options = self.request.options.as_deref();
        let chosen = options.and_then(|options| options.stream).or(self.request.defaults.stream);
        chosen == Some(true) && options.is_none_or(|options| options.sink.is_none())
    }

    /// Leaves the body on its connection when nothing here looks at it, so that it can be passed on as it comes in.
    /// False when it will be in memory anyway, or in a file.
    pub fn pass_body_on(&mut self) -> bool {
        let Some(options) = self.request.options.as_mut().and_then(Arc::get_mut) else { return false };
        let looked_at = !options.hooks.is_empty() || options.background.is_some() || options.sink.is_some();
        if looked_at {
            return false;
        }
        options.stream = Some(true);
        true
    }

    /// Runs it on this thread.
    pub fn run(self, control: &Arc<Control>) -> Done {
        let session = self.request.session.clone();
        let outcome = self.request.run(control);
        Done { outcome, session, body: self.body }
    }
}

/// A request from elsewhere that was run.
pub struct Done {
    pub outcome: Outcome,
    session: Arc<Session>,
    body: SentBody,
}

impl Done {
    pub fn reply(&self, last: &LastBody<'_>) -> Vec<u8> {
        self.reply_with(&self.outcome, last)
    }

    /// The same with another outcome.
    pub fn reply_with(&self, outcome: &Outcome, last: &LastBody<'_>) -> Vec<u8> {
        wire::encode_reply(outcome, self.cookies(), &self.body, last)
    }

    fn cookies(&self) -> Vec<Cookie> {
        self.session.jar().journal()
    }
}

/// Runs the request in these bytes on this thread and returns its outcome as bytes.
pub fn execute(message: &[u8], find_hook: FindHook) -> Result<Vec<u8>, Malformed> {
    match Job::open(message, None, find_hook)? {
        Ok(job) => Ok(job.run(&Arc::new(Control::new())).reply(&LastBody::Inside)),
        Err(error) => Ok(wire::encode_reply(&Err(error), Vec::new(), &None, &LastBody::Inside)),
    }
}
