//! Probes against real TLS servers on loopback, each wrong in one way.

use std::net::TcpListener;
use std::ops::Range;
use std::thread;
use std::time::SystemTime;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::ssl::{SslAcceptor, SslFiletype, SslVersion};
use openssl::x509::X509;
use openssl::x509::extension::SubjectAlternativeName;

use super::*;
use crate::authority::CertificateAuthority;
use crate::request::{self, KeyKind};

const HOUR: Duration = Duration::from_secs(3600);

fn current() -> Range<SystemTime> {
    SystemTime::now() - HOUR..SystemTime::now() + HOUR
}

/// A server's certificate and key, and the authority that signed it, in files.
struct Server {
    folder: tempfile::TempDir,
}

impl Server {
    /// A server whose certificate is for `localhost` and 127.0.0.1.
    fn new(validity: Range<SystemTime>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority =
            CertificateAuthority::create("Server CA", KeyKind::EcP256, current()).unwrap();
        let key = request::generate_key(KeyKind::EcP256).unwrap();
        let signer = X509::from_pem(authority.certificate_pem().unwrap().as_bytes()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = Asn1Integer::from_bn(&BigNum::from_u32(7).unwrap()).unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&request::subject("server").unwrap()).unwrap();
        builder.set_issuer_name(signer.subject_name()).unwrap();
        builder.set_pubkey(&key.0).unwrap();
        let asn1 = |time| Asn1Time::from_unix(date::unix_seconds(time)).unwrap();
        builder.set_not_before(&asn1(validity.start)).unwrap();
        builder.set_not_after(&asn1(validity.end)).unwrap();
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .ip("127.0.0.1")
            .build(&builder.x509v3_context(Some(&signer), None))
            .unwrap();
        builder.append_extension(names).unwrap();
        let signing: &PKey<_> = &authority.key().0;
        builder.sign(signing, MessageDigest::sha256()).unwrap();
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("ca.pem", authority.certificate_pem().unwrap().as_bytes());
        write("server.pem", &builder.build().to_pem().unwrap());
        write("server.key", key.to_pem().unwrap().expose().as_bytes());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Serves one handshake in `version`; returns the address.
    fn serve(&self, version: SslVersion) -> SocketAddr {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_certificate_chain_file(self.path("server.pem")).unwrap();
        acceptor.set_private_key_file(self.path("server.key"), SslFiletype::PEM).unwrap();
        acceptor.set_min_proto_version(Some(version)).unwrap();
        acceptor.set_max_proto_version(Some(version)).unwrap();
        let acceptor = acceptor.build();
        serve(move |stream| drop(acceptor.accept(stream)))
    }

    fn target(&self, address: SocketAddr) -> ProbeTarget {
        ProbeTarget { trusted_ca: Some(self.path("ca.pem")), ..target(address) }
    }
}

/// Hands the next connection to `answer` in a thread of its own.
fn serve(answer: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || answer(listener.accept().unwrap().0));
    address
}

fn target(address: SocketAddr) -> ProbeTarget {
    ProbeTarget {
        addresses: vec![address],
        server_name: "localhost".to_owned(),
        trusted_ca: None,
        timeout: Duration::from_secs(10),
    }
}

#[test]
fn a_sound_server_passes_in_both_versions_of_tls_by_name_and_by_address() {
    let server = Server::new(current());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for name in ["localhost", "127.0.0.1"] {
            let address = server.serve(version);
            let target = ProbeTarget { server_name: name.to_owned(), ..server.target(address) };
            probe(&target).unwrap();
        }
    }
}

#[test]
fn the_next_address_is_tried_where_one_does_not_answer() {
    let server = Server::new(current());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = server.serve(SslVersion::TLS1_3);
    let target = ProbeTarget { addresses: vec![closed, open], ..server.target(open) };
    probe(&target).unwrap();
}

#[test]
fn an_authority_that_nobody_trusts_is_named() {
    let server = Server::new(current());
    let other = Server::new(current());
    for trusted_ca in [None, Some(other.path("ca.pem"))] {
        let address = server.serve(SslVersion::TLS1_2);
        let error = probe(&ProbeTarget { trusted_ca, ..target(address) }).unwrap_err();
        assert!(matches!(error, ProbeError::TlsUntrusted { .. }), "{error:?}");
        assert!(error.to_string().contains("signed by `CN=Server CA`"), "{error}");
        assert!(error.is_tls());
    }
}

#[test]
fn a_certificate_for_another_name_is_told_apart() {
    let server = Server::new(current());
    for name in ["hub.example", "127.0.0.9"] {
        let address = server.serve(SslVersion::TLS1_3);
        let target = ProbeTarget { server_name: name.to_owned(), ..server.target(address) };
        let error = probe(&target).unwrap_err();
        assert!(matches!(error, ProbeError::TlsHostName { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("is not for `{name}`: it is the certificate")));
    }
}

#[test]
fn expired_and_not_yet_valid_servers_are_told_apart_with_dates() {
    let now = SystemTime::now();
    let server = Server::new(now - 3 * HOUR..now - 2 * HOUR);
    let error = probe(&server.target(server.serve(SslVersion::TLS1_2))).unwrap_err();
    let ProbeError::TlsExpiredServer { not_after } = error else { panic!("{error:?}") };
    assert_eq!(date::unix_seconds(not_after.0), date::unix_seconds(now - 2 * HOUR));

    let server = Server::new(now + 2 * HOUR..now + 3 * HOUR);
    let error = probe(&server.target(server.serve(SslVersion::TLS1_2))).unwrap_err();
    assert!(matches!(error, ProbeError::TlsNotYetValidServer { .. }), "{error:?}");
}

#[test]
fn a_closed_port_is_the_networks_fault() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = probe(&target(closed)).unwrap_err();
    let ProbeError::Network(cause) = &error else { panic!("{error:?}") };
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    assert!(!error.is_tls());
    let nothing = ProbeTarget { addresses: Vec::new(), ..target(closed) };
    assert!(matches!(probe(&nothing), Err(ProbeError::Network(_))));
}

#[test]
fn a_server_that_hangs_up_is_the_networks_fault() {
    let address = serve(drop);
    let error = probe(&target(address)).unwrap_err();
    assert!(matches!(error, ProbeError::Network(_)), "{error:?}");
}

#[test]
fn a_silent_server_and_one_that_trickles_both_end_at_the_timeout() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let silent = serve(move |stream| {
        let _ = stopped.recv();
        drop(stream);
    });
    let trickling = serve(|mut stream| {
        // The head of a handshake record of 16 KiB that never ends.
        let mut bytes = vec![22, 3, 3, 64, 0].into_iter().chain(std::iter::repeat(0));
        let byte = |_| bytes.next().map(|byte| stream.write_all(&[byte]));
        let mut byte = byte;
        while let Some(Ok(())) = byte(()) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    for address in [silent, trickling] {
        let begun = Instant::now();
        let timeout = Duration::from_millis(300);
        let error = probe(&ProbeTarget { timeout, ..target(address) }).unwrap_err();
        assert!(matches!(error, ProbeError::Timeout { stage: Stage::Handshake, .. }), "{error:?}");
        let taken = begun.elapsed();
        assert!(taken >= timeout && taken < Duration::from_secs(5), "{taken:?}");
    }
    drop(stop);
}

#[test]
fn an_address_that_swallows_everything_ends_at_the_timeout() {
    // A listener whose queue of waiting connections is full drops further SYNs (listen(2)).
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10_000, "the queue has no end");
    };
    assert_eq!(full.kind(), io::ErrorKind::TimedOut);
    let timeout = Duration::from_millis(200);
    let error = probe(&ProbeTarget { timeout, ..target(address) }).unwrap_err();
    assert!(matches!(error, ProbeError::Timeout { stage: Stage::Connect, .. }), "{error:?}");
}

#[test]
fn a_server_that_speaks_no_tls_is_told_apart() {
    let address = serve(|mut stream| {
        let mut request = [0; 16];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // Held until the other side is done, so that the answer is not lost in a reset.
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let error = probe(&target(address)).unwrap_err();
    assert!(matches!(error, ProbeError::TlsOther { .. }), "{error:?}");
}

#[test]
fn authorities_that_cannot_be_read_name_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "hello").unwrap();
    let address = serve(drop);
    for path in [path, folder.path().join("missing.pem")] {
        let target = ProbeTarget { trusted_ca: Some(path.clone()), ..target(address) };
        let error = probe(&target).unwrap_err();
        assert!(matches!(&error, ProbeError::TrustedCa { path: found, .. } if *found == path));
    }
}
