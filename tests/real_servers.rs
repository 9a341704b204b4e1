//! HTTP/2 with servers that others wrote: `tests/c/real_servers.c`, with each of them, on threads and on an event loop. Those that
//! this machine does not have are skipped.

mod programs;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use programs::*;

/// A server, for as long as this lives, and the folder of its logs, which a test that fails shows.
struct Running<'a>(Child, &'a Path);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("its server has ended: {:?}", self.0.try_wait());
            for name in ["log", "error.log"] {
                print!("{}", fs::read_to_string(self.1.join(name)).unwrap_or_default());
            }
        }
        // Those that have children end them then.
        let id = libc::pid_t::try_from(self.0.id()).expect("an id of a process");
        // SAFETY: it is a child that nobody has waited for.
        unsafe { libc::kill(id, libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

struct Place {
    folder: PathBuf,
    port: u16,
    certificate: String,
    key: String,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = scratch().join(format!("server-{name}"));
        let _ = fs::remove_dir_all(&folder);
        let files = folder.join("files");
        fs::create_dir_all(&files).expect("a folder");
        fs::write(files.join("hello"), "Hello, world!").expect("a file");
        fs::write(files.join("large"), vec![b'x'; 5_000_000]).expect("a file");
        let variable = |name: &str| {
            let found = server().iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).expect("a variable of the local server")
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (certificate, key) = (variable("RF_TEST_SERVER_CERT"), variable("RF_TEST_SERVER_KEY"));
        Place { folder, port, certificate, key }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }
}

fn is_there(program: &str, argument: &str) -> bool {
    let there = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: no {program}");
    }
    there
}

fn serves(name: &str, place: &Place, mut command: Command, further: &[(&str, &str)]) {
    if sanitizer().is_some() || valgrind() || runner().is_some() {
        // http2.c is run by those.
        return;
    }
    let log = fs::File::create(place.folder.join("log")).expect("a file");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor")).stderr(log);
    let mut running = Running(command.spawn().expect("a server"), &place.folder);
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", place.port)).is_err() {
        let ended = running.0.try_wait().expect("a child");
        if ended.is_some() || Instant::now() > until {
            let said = fs::read_to_string(place.folder.join("log")).unwrap_or_default();
            panic!("{name} does not listen ({ended:?}): {said}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let address = format!("https://localhost:{}", place.port);
    let program = compile_to("real_servers", "c", "c99", name);
    let variables = [&[("RF_REAL_SERVER", &*address)], further].concat();
    run_with(&format!("{name} on threads"), &program, &variables);
    if std::env::var_os("RF_LIBRARY").is_none() {
        let variables = [&*variables, &[("RF_TEST_EVENTS", "1")]].concat();
        run_with(&format!("{name} on events"), &program, &variables);
    }
}

/// Those that bear a request that is reset before they have answered it.
const RESETS: &[(&str, &str)] = &[("RF_RESETS_EARLY", "1")];

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[test]
fn nginx() {
    if !is_there("nginx", "-v") {
        return;
    }
    let place = Place::new("nginx");
    let (folder, files) = (place.folder.clone(), place.files());
    let configuration = place.file(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_max_body_size 100m;\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             root {files}; }} }}\n",
            folder = shown(&folder),
            port = place.port,
            certificate = place.certificate,
            key = place.key,
            files = shown(&files),
        ),
    );
    let mut command = Command::new("nginx");
    command.arg("-e").arg(folder.join("error.log")).arg("-p").arg(&folder).arg("-c").arg(configuration);
    serves("nginx", &place, command, RESETS);
}

#[test]
fn nghttpd() {
    if !is_there("nghttpd", "--version") {
        return;
    }
    let place = Place::new("nghttpd");
    let mut command = Command::new("nghttpd");
    command.args(["--address=127.0.0.1", "-d"]).arg(place.files());
    command.arg(place.port.to_string()).args([&place.key, &place.certificate]);
    serves("nghttpd", &place, command, RESETS);
}

#[test]
fn apache() {
    if !is_there("apache2", "-v") {
        return;
    }
    let place = Place::new("apache");
    let (folder, files) = (place.folder.clone(), place.files());
    let modules = "/usr/lib/apache2/modules";
    let load = |name: &str| format!("LoadModule {name}_module {modules}/mod_{name}.so\n");
    let loaded: String = ["mpm_event", "authz_core", "ssl", "http2"].map(load).concat();
    let configuration = place.file(
        "apache.conf",
        &format!(
            "{loaded}ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n\
             Mutex posixsem\nListen 127.0.0.1:{port}\nProtocols h2 http/1.1\nDocumentRoot {files}\n\
             SSLEngine on\nSSLCertificateFile {certificate}\nSSLCertificateKeyFile {key}\n\
             SSLSessionCache none\n<Directory {files}>\nRequire all granted\n</Directory>\n",
            folder = shown(&folder),
            files = shown(&files),
            port = place.port,
            certificate = place.certificate,
            key = place.key,
        ),
    );
    let mut command = Command::new("apache2");
    command.arg("-f").arg(configuration).arg("-DFOREGROUND");
    // 2.4.71 ends the connection where a request is reset between its answer and the first frame of that (AH10509, -902).
    serves("apache", &place, command, &[]);
}

#[test]
fn node() {
    if !is_there("node", "--version") {
        return;
    }
    let place = Place::new("node");
    let program = place.file(
        "server.js",
        "const [, , port, certificate, key, files] = process.argv;\n\
         const fs = require('fs'), http2 = require('http2');\n\
         const server = http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });\n\
         server.on('error', (error) => { console.error(error); process.exit(1); });\n\
         server.on('stream', (stream, headers) => {\n\
           stream.on('error', () => {});\n\
           const path = headers[':path'];\n\
           if (path === '/upload') {\n\
             let length = 0;\n\
             stream.on('data', (piece) => { length += piece.length; });\n\
             stream.on('end', () => { stream.respond({ ':status': 200 }); stream.end(String(length)); });\n\
           } else if (stream.headRequest) {\n\
             stream.respond({ ':status': 200, 'content-length': fs.statSync(files + path).size }, { endStream: true });\n\
           } else if (path === '/hello' || path === '/large') {\n\
             // respondWithFile crashes now and then where a request is reset (20.20.2).\n\
             stream.respond({ ':status': 200 });\n\
             fs.createReadStream(files + path).pipe(stream);\n\
           } else {\n\
             stream.respond({ ':status': 404 }, { endStream: true });\n\
           }\n\
         });\n\
         server.listen(Number(port), '127.0.0.1');\n",
    );
    let mut command = Command::new("node");
    command
        .arg(program)
        .arg(place.port.to_string())
        .args([&place.certificate, &place.key])
        .arg(place.files());
    serves("node", &place, command, RESETS);
}
