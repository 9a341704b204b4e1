//! A request as bytes.

use std::borrow::Cow;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Kind, LARGE, LONGEST, Malformed, TaskName, Unsealed, seal, unseal};
use crate::http::adapter::{Adapter, AdapterSettings, Identity};
use crate::http::cookies::Cookie;
use crate::http::credentials;
use crate::http::mount::{AnyAdapter, Prefix};
use crate::http::request::Request;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::{
    BodySource, Borrowed, CustomAuth, Hook, Login, NamedAuth, NamedHook, Options, Owned, Part, Refused,
    SharedText, Sink,
};
use crate::message::prepared::{BaseAdapter, Challenge, Prepare, Prepared};
use crate::message::reach::Certificate;
use crate::message::resolve::{Found, Resolve};
use crate::message::response::SentBody;
use crate::system::environment::Environment;

#[derive(Serialize, Deserialize)]
struct TaskMessage<'a> {
    name: TaskName,
    session: Identity,
    settings: AdapterSettings,
    resolver: ResolverMessage,
    method: Cow<'a, str>,
    url: Cow<'a, str>,
    defaults: Cow<'a, Options>,
    options: Option<Cow<'a, Options>>,
    #[serde(borrow)]
    body: Option<BodyMessage<'a>>,
    sink: Option<Cow<'a, str>>,
    functions: Functions,
    environment: Option<Cow<'a, Environment>>,
    mounts: Vec<MountMessage>,
    /// How long all of it may still take.
    deadline: Option<Duration>,
    /// How long it may still wait.
    queue: Option<Duration>,
    /// What paths are relative to.
    directory: Option<PathBuf>,
    cookies: Vec<Cookie>,
}

/// Where an adapter looks names up.
#[derive(Serialize, Deserialize)]
enum ResolverMessage {
    /// With the system.
    System,
    Function(NamedHook),
    /// With a function that cannot be there, for this reason.
    Stays(String),
}

impl ResolverMessage {
    fn of(adapter: &Adapter) -> ResolverMessage {
        match adapter.resolver().map(|resolver| resolver.named()) {
            None => ResolverMessage::System,
            Some(Ok(named)) => ResolverMessage::Function(named),
            Some(Err(why)) => ResolverMessage::Stays(why),
        }
    }

    /// An error where the request itself needs it.
    fn check(self, is_needed: impl FnOnce() -> bool) -> Result<ResolverMessage, Error> {
        match self {
            ResolverMessage::Stays(why) if is_needed() => Err(stays_here("The resolver", &why)),
            other => Ok(other),
        }
    }

    fn find(self, find: Find<dyn Resolve>) -> Option<Arc<dyn Resolve>> {
        let stays = |why: String| -> Arc<dyn Resolve> { Arc::new(Stays(why)) };
        match self {
            ResolverMessage::System => None,
            ResolverMessage::Function(named) => {
                Some(find(&named).unwrap_or_else(|why| stays(format!("where the request is to run, {why}"))))
            }
            ResolverMessage::Stays(why) => Some(stays(why)),
        }
    }
}

/// What URLs below a prefix go by.
#[derive(Serialize, Deserialize)]
struct MountMessage {
    prefix: String,
    adapter: AdapterMessage,
}

#[derive(Serialize, Deserialize)]
enum AdapterMessage {
    Http(Identity, AdapterSettings, ResolverMessage),
    Custom(NamedHook),
    /// It cannot be there, for this reason.
    Stays(String),
}

/// Authentication of the user's own.
#[derive(Serialize, Deserialize)]
struct AuthMessage {
    named: NamedAuth,
    /// It is the session's.
    is_default: bool,
}

#[derive(Serialize, Deserialize)]
enum BodyMessage<'a> {
    Bytes(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
    /// Beside the message.
    Attached,
    File(Cow<'a, str>),
    Json(Cow<'a, str>),
    Form(Cow<'a, [Part]>),
}

/// A request as bytes.
pub struct EncodedTask {
    pub name: TaskName,
    pub message: Vec<u8>,
    /// A body that is better shared than copied.
    pub attachment: Option<Arc<dyn Borrowed>>,
}

/// The request as bytes; or why it makes sense here only. `may_attach`: a large body may stay outside of the message.
pub fn encode_task(name: TaskName, request: &Request, may_attach: bool) -> Result<EncodedTask, Error> {
    let none = Options::default();
    let options = request.options.as_deref();
    let own = options.unwrap_or(&none);
    let mut attachment: Option<Arc<dyn Borrowed>> = None;
    let body = match &own.body {
        None => None,
        Some(BodySource::Bytes(bytes)) => {
            Some(bytes_message(bytes.bytes(), may_attach, || attachment = Some(bytes.clone())))
        }
        Some(BodySource::Borrowed(bytes)) => {
            Some(bytes_message(bytes.bytes(), may_attach, || attachment = Some(bytes.clone())))
        }
        Some(BodySource::File(path)) => Some(BodyMessage::File(Cow::Borrowed(path))),
        Some(BodySource::Json(text)) => Some(BodyMessage::Json(Cow::Borrowed(text.as_str()))),
        Some(BodySource::Form(parts)) if parts.iter().any(|part| matches!(part, Part::Reader { .. })) => {
            return Err(stays_here("The reader of a part of the request body", "it is a function"));
        }
        Some(BodySource::Form(parts)) => Some(BodyMessage::Form(Cow::Borrowed(parts))),
        Some(BodySource::Reader { .. }) => {
            return Err(stays_here("The reader of the request body", "it is a function"));
        }
    };
    let sink = match &own.sink {
        None => None,
        Some(Sink::File(path)) => Some(Cow::Borrowed(path.as_str())),
        Some(Sink::Function(_)) => return Err(stays_here("The output", "it is a function")),
        Some(Sink::Descriptor(_)) => {
            return Err(stays_here("The output", "it is a descriptor of this process"));
        }
    };
    if own.progress.is_some() {
        return Err(stays_here("The progress function", "it is a function"));
    }
    if own.trace.as_ref().or(request.defaults.trace.as_ref()).is_some_and(Option::is_some) {
        return Err(stays_here("The trace function", "it is told of what is done here"));
    }
    let hooks = if own.hooks.is_empty() { &request.defaults.hooks } else { &own.hooks };
    let mut named = Vec::with_capacity(hooks.len());
    for (at, hook) in hooks.iter().enumerate() {
        named.push(hook.named().map_err(|why| stays_here(&format!("Hook {}", at + 1), &why))?);
    }
    let background = match own.background.as_ref().or(request.defaults.background.as_ref()) {
        None => None,
        Some(hook) => Some(hook.named().map_err(|why| stays_here("The background callback", &why))?),
    };
    let hooks = own.request_hooks.as_ref().or(request.defaults.request_hooks.as_ref());
    let mut request_hooks = Vec::new();
    for (at, hook) in hooks.into_iter().flatten().enumerate() {
        request_hooks
            .push(hook.named().map_err(|why| stays_here(&format!("Request hook {}", at + 1), &why))?);
    }
    let is_default = !own.has_auth();
    let auth = if is_default { &request.defaults.auth_custom } else { &own.auth_custom };
    let auth = match auth {
        None => None,
        Some(auth) => {
            let named = name_auth(auth).map_err(|why| stays_here("The authentication", &why))?;
            Some(AuthMessage { named, is_default })
        }
    };
    let mounts = name_mounts(request)?;
    let shared = request.owner.shared();
    let own_adapter = || request.parse_url().ok().is_some_and(|url| request.adapter_for(&url).is_none());
    let resolver = ResolverMessage::of(&shared.adapter).check(own_adapter)?;
    let mut message = TaskMessage {
        name,
        session: shared.identity(),
        settings: shared.adapter.settings,
        resolver,
        method: Cow::Borrowed(&request.method),
        url: Cow::Borrowed(&request.url),
        defaults: Cow::Borrowed(&request.defaults),
        options: options.map(Cow::Borrowed),
        body,
        sink,
        functions: Functions { hooks: named, request_hooks, background, auth },
        environment: request.environment.as_deref().map(Cow::Borrowed),
        mounts,
        deadline: request.ends_at.map(|at| at.saturating_duration_since(Instant::now())),
        queue: request.queue_ends_at().map(|at| at.saturating_duration_since(Instant::now())),
        directory: None,
        // What other hosts have given is a secret of theirs. A URL that does not parse is the outcome's affair.
        cookies: cookies_of(request),
    };
    if message.has_relative_path() {
        message.directory = env::current_dir().ok();
    }
    let inside = match &message.body {
        Some(BodyMessage::Bytes(bytes)) => bytes.len(),
        Some(BodyMessage::Json(text)) => text.len(),
        _ => 0,
    };
    let message = seal(Kind::Task, &message, inside).map_err(|why| match why {
        Unsealed::Unfit => stays_here("The request", "one of its paths is not UTF-8"),
        Unsealed::OutOfMemory => Error::out_of_memory("the request as a message to another process"),
    })?;
    if message.len() > LONGEST {
        return Err(stays_here("The request", "it is longer than a message can be"));
    }
    Ok(EncodedTask { name, message, attachment })
}

/// What its session has mounted. An error where its own URL goes by an adapter that stays here.
fn name_mounts(request: &Request) -> Result<Vec<MountMessage>, Error> {
    let Some(mounts) = request.mounts() else { return Ok(Vec::new()) };
    let own = request.parse_url().ok();
    let own = own.as_ref().and_then(|url| mounts.find(url));
    let name = |(prefix, adapter): (&Prefix, &AnyAdapter)| {
        let named = match adapter {
            AnyAdapter::Http(http) => {
                let resolver = ResolverMessage::of(http).check(|| own.is_some_and(|own| own.is(adapter)))?;
                AdapterMessage::Http(http.identity(), http.settings, resolver)
            }
            AnyAdapter::Custom(custom) => match custom.named() {
                Ok(named) => AdapterMessage::Custom(named),
                Err(why) if own.is_some_and(|own| own.is(adapter)) => {
                    return Err(stays_here("The adapter", &why));
                }
                Err(why) => AdapterMessage::Stays(why),
            },
        };
        Ok(MountMessage { prefix: prefix.to_string(), adapter: named })
    };
    mounts.iter().map(name).collect()
}

/// Stands for an adapter that cannot be where the request is.
struct Stays(String);

impl BaseAdapter for Stays {
    fn send(&self, prepared: &mut Prepared<'_>) -> Result<(), Refused> {
        let error = stays_here("The adapter", &self.0);
        prepared.failure = Some((error.kind(), error.message().as_str().into()));
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Err(self.0.clone())
    }
}

impl Resolve for Stays {
    fn resolve(&self, found: &mut Found, _: &str, _: u16) -> Result<(), Refused> {
        found.failure = Some(format!("the resolver stays in its process: {}", self.0));
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Err(self.0.clone())
    }
}

/// An adapter over connections, of another process.
pub struct ForeignHttp {
    pub identity: Identity,
    pub settings: AdapterSettings,
    pub resolver: Option<Arc<dyn Resolve>>,
}

/// What a request from elsewhere goes by.
pub enum ForeignAdapter {
    Http(ForeignHttp),
    Custom(Arc<dyn BaseAdapter>),
}

fn find_mounts(
    mounts: Vec<MountMessage>,
    find: &Finders,
) -> Result<Vec<(Prefix, ForeignAdapter)>, Malformed> {
    let found = mounts.into_iter().map(|MountMessage { prefix, adapter }| {
        let adapter = match adapter {
            AdapterMessage::Http(identity, settings, resolver) => {
                let resolver = resolver.find(find.resolver);
                ForeignAdapter::Http(ForeignHttp { identity, settings, resolver })
            }
            AdapterMessage::Custom(named) => match (find.adapter)(&named) {
                Ok(adapter) => ForeignAdapter::Custom(adapter),
                Err(why) => {
                    let why = format!("where the request is to run, {why}");
                    ForeignAdapter::Custom(Arc::new(Stays(why)))
                }
            },
            AdapterMessage::Stays(why) => ForeignAdapter::Custom(Arc::new(Stays(why))),
        };
        Ok((Prefix::parse(&prefix).ok_or(Malformed)?, adapter))
    });
    found.collect()
}

fn name_auth(auth: &CustomAuth) -> Result<NamedAuth, String> {
    Ok(NamedAuth {
        prepare: auth.prepare.as_ref().map(|function| function.named()).transpose()?,
        challenge: auth.challenge.as_ref().map(|function| function.named()).transpose()?,
        everywhere: auth.everywhere,
    })
}

fn bytes_message(bytes: &[u8], may_attach: bool, attach: impl FnOnce()) -> BodyMessage<'_> {
    if may_attach && bytes.len() >= LARGE {
        attach();
        return BodyMessage::Attached;
    }
    BodyMessage::Bytes(Cow::Borrowed(bytes))
}

/// What of a form is a file.
fn file_of(parts: &[Part]) -> Option<&'static str> {
    parts.iter().any(|part| matches!(part, Part::File { .. })).then_some("a part of the body")
}

/// What of the options is a file.
fn file_in(options: &Options) -> Option<&'static str> {
    let certificate = options.certificate.iter().flatten().flat_map(Certificate::paths).next();
    let all = [
        (options.ca_bundle.iter().flatten().next().is_some(), "the certificate bundle"),
        (certificate.is_some(), "the client's certificate"),
        (options.unix_socket.is_some(), "the Unix socket"),
    ];
    all.into_iter().find(|(is_there, _)| *is_there).map(|(_, what)| what)
}

/// The request as another machine can carry it out: without what is of this one alone. An error where it needs that.
pub fn for_other_machine(request: &Request) -> Result<Request, Error> {
    let settings = request.settings();
    let mut own = request.options.as_deref().cloned().unwrap_or_default();
    let file = match (&own.body, &own.sink) {
        (Some(BodySource::File(_)), _) => Some("the body"),
        (Some(BodySource::Form(parts)), _) if file_of(parts).is_some() => file_of(parts),
        (_, Some(Sink::File(_))) => Some("the output"),
        _ => file_in(&settings),
    };
    if let Some(what) = file {
        let text = format!("The request cannot be sent to another machine: {what} is a file of this one");
        return Err(Error::new(ErrorKind::NotTransferable, text).at(&request.url));
    }
    if let Some(found) = credentials::of_netrc(request, &settings) {
        own.auth = Some(found);
    }
    let mut request = request.clone();
    if file_in(&request.defaults).is_some() {
        // What the request itself takes back.
        let Options { ca_bundle, certificate, unix_socket, .. } = Options::default();
        let defaults = request.defaults.as_ref().clone();
        request.defaults = Arc::new(Options { ca_bundle, certificate, unix_socket, ..defaults });
    }
    request.options = Some(Arc::new(own));
    let environment = request.environment.as_deref().cloned().unwrap_or_default();
    request.environment = Some(Arc::new(environment.for_other_machine()));
    Ok(request)
}

/// Those that the request may get: of the host that it is sent to, or that a Host header given by hand names.
fn cookies_of(request: &Request) -> Vec<Cookie> {
    request.cookie_url().map_or_else(Vec::new, |url| request.owner.shared().jar.of_host(&url))
}

fn stays_here(what: &str, why: &str) -> Error {
    let text = format!("{what} cannot be sent to another process: {why} (README, \"Worker processes\")");
    Error::new(ErrorKind::NotTransferable, text)
}

impl TaskMessage<'_> {
    /// What of it is a function.
    fn function(&self) -> Option<&'static str> {
        let is_function = |resolver: &ResolverMessage| matches!(resolver, ResolverMessage::Function(_));
        let is_named = |mount: &MountMessage| match &mount.adapter {
            AdapterMessage::Http(_, _, resolver) => is_function(resolver),
            AdapterMessage::Custom(_) => true,
            AdapterMessage::Stays(_) => false,
        };
        let Functions { hooks, request_hooks, background, auth } = &self.functions;
        let all = [
            (!hooks.is_empty(), "a hook"),
            (!request_hooks.is_empty(), "a request hook"),
            (background.is_some(), "the background callback"),
            (auth.is_some(), "the authentication"),
            (is_function(&self.resolver), "the resolver"),
            (self.mounts.iter().any(is_named), "an adapter or its resolver"),
        ];
        all.into_iter().find(|(is_there, _)| *is_there).map(|(_, what)| what)
    }

    /// What of it is a file.
    fn file(&self) -> Option<&'static str> {
        let in_body = match &self.body {
            Some(BodyMessage::File(_)) => Some("the body"),
            Some(BodyMessage::Form(parts)) => file_of(parts),
            _ => None,
        };
        let in_environment = || {
            let has_path = self
                .environment
                .as_ref()
                .is_some_and(|environment| environment.paths().any(|path| !path.as_os_str().is_empty()));
            has_path.then_some("what the environment names")
        };
        in_body
            .or_else(|| self.sink.is_some().then_some("the output"))
            .or_else(|| file_in(&self.defaults))
            .or_else(|| self.options.as_deref().and_then(file_in))
            .or_else(in_environment)
    }

    fn has_relative_path(&self) -> bool {
        let is_relative = |path: &str| Path::new(path).is_relative();
        let in_options = |options: &Options| {
            options.ca_bundle.iter().flatten().any(|path| is_relative(path))
                || options.unix_socket.iter().any(|path| is_relative(path))
                || options
                    .certificate
                    .iter()
                    .flatten()
                    .flat_map(Certificate::paths)
                    .any(|path| is_relative(path))
        };
        let in_body = match &self.body {
            Some(BodyMessage::File(path)) => is_relative(path),
            Some(BodyMessage::Form(parts)) => {
                parts.iter().any(|part| matches!(part, Part::File { path, .. } if is_relative(path)))
            }
            _ => false,
        };
        let in_environment = self
            .environment
            .as_ref()
            .is_some_and(|environment| environment.paths().any(|path| path.is_relative()));
        in_body
            || in_environment
            || in_options(&self.defaults)
            || self.options.as_deref().is_some_and(in_options)
            || self.sink.as_deref().is_some_and(is_relative)
    }
}

/// A task from elsewhere.
pub struct DecodedTask {
    pub name: TaskName,
    /// What it asks for; or an error that its sender is to get as the outcome.
    pub task: Result<ForeignTask, Error>,
}

/// A request from elsewhere, before it has a session.
pub struct ForeignTask {
    pub session: ForeignHttp,
    pub method: String,
    pub url: String,
    pub defaults: Options,
    pub options: Options,
    pub environment: Option<Environment>,
    pub mounts: Vec<(Prefix, ForeignAdapter)>,
    pub ends_at: Option<Instant>,
    pub queue_ends_at: Option<Instant>,
    pub cookies: Vec<Cookie>,
    /// The body, of which the sender keeps a copy.
    pub body: SentBody,
}

type Find<Function> = fn(&NamedHook) -> Result<Arc<Function>, String>;

/// How functions are found by their names; the C face, which knows functions, provides it.
#[derive(Clone, Copy)]
pub struct Finders {
    pub hook: Find<dyn Hook>,
    pub background: Find<dyn Hook>,
    pub prepare: Find<dyn Prepare>,
    pub challenge: Find<dyn Challenge>,
    pub adapter: Find<dyn BaseAdapter>,
    pub resolver: Find<dyn Resolve>,
}

#[cfg(test)]
impl Finders {
    /// Finds nothing.
    pub const NONE: Finders = {
        fn nothing<T: ?Sized>(_: &NamedHook) -> Result<Arc<T>, String> {
            Err("there are no functions".into())
        }
        Finders {
            hook: nothing,
            background: nothing,
            prepare: nothing,
            challenge: nothing,
            adapter: nothing,
            resolver: nothing,
        }
    };
}

/// The functions that a task names.
#[derive(Serialize, Deserialize)]
struct Functions {
    hooks: Vec<NamedHook>,
    request_hooks: Vec<NamedHook>,
    background: Option<NamedHook>,
    auth: Option<AuthMessage>,
}

impl Functions {
    fn find(self, defaults: &mut Options, options: &mut Options, find: &Finders) -> Result<(), String> {
        options.hooks = self.hooks.iter().map(find.hook).collect::<Result<_, _>>()?;
        options.request_hooks = Some(self.request_hooks.iter().map(find.prepare).collect::<Result<_, _>>()?);
        options.background = self.background.as_ref().map(find.background).transpose()?;
        if let Some(AuthMessage { named, is_default }) = self.auth {
            let auth = CustomAuth {
                prepare: named.prepare.as_ref().map(find.prepare).transpose()?,
                challenge: named.challenge.as_ref().map(find.challenge).transpose()?,
                everywhere: named.everywhere,
                login: Login::Named(Arc::new(named)),
            };
            let of = if is_default { defaults } else { options };
            of.auth_custom = Some(Arc::new(auth));
        }
        Ok(())
    }
}

/// What a task may have done where it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permitted {
    /// It may name functions.
    pub hooks: bool,
    /// It may name files.
    pub files: bool,
}

impl Permitted {
    pub const ALL: Permitted = Permitted { hooks: true, files: true };

    /// The first thing of a task that it may not have.
    fn refuse(self, message: &TaskMessage<'_>) -> Option<String> {
        let named = (!self.hooks).then(|| message.function()).flatten();
        let named = named.map(|what| format!("{what} is a function, and functions are not run there"));
        named.or_else(|| {
            let file = (!self.files).then(|| message.file()).flatten();
            file.map(|what| format!("{what} is a file, and files are not opened there"))
        })
    }
}

/// The task in these bytes. Of one that has what is not permitted nothing is looked for.
pub fn decode_task(
    message: &[u8],
    attachment: Option<Arc<dyn Borrowed>>,
    find: &Finders,
    permitted: Permitted,
) -> Result<DecodedTask, Malformed> {
    let mut message: TaskMessage<'_> = unseal(Kind::Task, message)?;
    let name = message.name;
    if let Some(why) = permitted.refuse(&message) {
        let text = format!("The request was not carried out by the one that it was sent to: {why}");
        return Ok(DecodedTask { name, task: Err(Error::new(ErrorKind::NotTransferable, text)) });
    }
    if !permitted.files {
        let environment = message.environment.get_or_insert_default();
        environment.to_mut().without_netrc();
    }
    Ok(DecodedTask { name, task: decode_request(message, attachment, find)? })
}

/// Which task it is, for one that cannot be decoded for want of memory.
pub fn name_of_task(message: &[u8]) -> Result<TaskName, Malformed> {
    unseal(Kind::Task, message).map(|message: TaskMessage<'_>| message.name)
}

fn decode_request(
    message: TaskMessage<'_>,
    attachment: Option<Arc<dyn Borrowed>>,
    find: &Finders,
) -> Result<Result<ForeignTask, Error>, Malformed> {
    let directory = message.directory.as_deref();
    let mut defaults = message.defaults.into_owned();
    let mut options = message.options.map(Cow::into_owned).unwrap_or_default();
    anchor(&mut defaults, directory);
    anchor(&mut options, directory);
    let mut body: SentBody = None;
    let mut hold = |bytes: Arc<dyn Borrowed>| {
        body = Some(bytes.clone());
        BodySource::Borrowed(bytes)
    };
    options.body = match message.body {
        None => None,
        Some(BodyMessage::Bytes(bytes)) => match Owned::try_new(&bytes) {
            Ok(bytes) => Some(hold(Arc::new(bytes))),
            Err(_) => return Ok(Err(Error::out_of_memory("the request's body"))),
        },
        Some(BodyMessage::Attached) => Some(hold(attachment.ok_or(Malformed)?)),
        Some(BodyMessage::File(path)) => Some(BodySource::File(anchored(&path, directory))),
        Some(BodyMessage::Json(text)) => match SharedText::try_new(&text) {
            Ok(text) => Some(BodySource::Json(text)),
            Err(_) => return Ok(Err(Error::out_of_memory("the request's body"))),
        },
        Some(BodyMessage::Form(parts)) => {
            let mut parts = parts.into_owned();
            for part in &mut parts {
                if let Part::File { path, .. } = part {
                    *path = anchored(path, directory);
                }
            }
            Some(BodySource::Form(parts))
        }
    };
    options.sink = message.sink.map(|path| Sink::File(anchored(&path, directory)));
    let environment = message.environment.map(|environment| {
        let mut environment = environment.into_owned();
        for path in environment.paths_mut() {
            // A `~` is expanded where the file is opened.
            if !path.as_os_str().is_empty() && !path.starts_with("~") {
                *path = directory.unwrap_or(Path::new("")).join(&*path);
            }
        }
        environment
    });
    if let Err(why) = message.functions.find(&mut defaults, &mut options, find) {
        return Ok(Err(stays_here("A hook", &format!("where it is to run, {why}"))));
    }
    Ok(Ok(ForeignTask {
        session: ForeignHttp {
            identity: message.session,
            settings: message.settings,
            resolver: message.resolver.find(find.resolver),
        },
        method: message.method.into_owned(),
        url: message.url.into_owned(),
        defaults,
        options,
        environment,
        mounts: find_mounts(message.mounts, find)?,
        ends_at: message.deadline.and_then(|left| Instant::now().checked_add(left)),
        queue_ends_at: message.queue.and_then(|left| Instant::now().checked_add(left)),
        cookies: trusted(message.cookies)?,
        body,
    }))
}

fn anchored(path: &str, directory: Option<&Path>) -> String {
    match directory {
        Some(directory) if Path::new(path).is_relative() => {
            directory.join(path).to_string_lossy().into_owned()
        }
        _ => path.to_string(),
    }
}

/// Makes the paths of a set of options absolute.
fn anchor(options: &mut Options, directory: Option<&Path>) {
    let files = options.certificate.iter_mut().flatten().flat_map(Certificate::paths_mut);
    let paths = files.chain(options.ca_bundle.iter_mut().flatten()).chain(&mut options.unix_socket);
    for path in paths {
        *path = anchored(path, directory);
    }
}

/// Cookies go into headers as they are: what could end a line is not a cookie.
pub(super) fn trusted(cookies: Vec<Cookie>) -> Result<Vec<Cookie>, Malformed> {
    let is_plain = |text: &String| !text.chars().any(|c| c.is_ascii_control() && c != '\t');
    let is_fit = |cookie: &Cookie| {
        [&cookie.name, &cookie.value, &cookie.domain, &cookie.path].into_iter().all(is_plain)
    };
    if cookies.iter().all(is_fit) { Ok(cookies) } else { Err(Malformed) }
}
