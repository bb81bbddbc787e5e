//! What the daemon's real client (paho, through modtwin-mqtt) sends, recorded by a TLS peer and
//! compared with the files byte by byte.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_core::document::Document;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::message::{Request, RequestId};
use modtwin_core::secret::Secret;
use modtwin_core::status::Fault;
use modtwin_mqtt::{Diagnosis, Endpoint, Engine};
use modtwin_session::credential::Credential;
use modtwin_session::link::{ConnectRequest, Epoch, HubLink, LinkEvents, LinkStatus};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use crate::file::packet;

const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing is looked into: the connection is expected to work.
#[derive(Debug)]
struct NoDiagnosis;

impl Diagnosis for NoDiagnosis {
    fn diagnose(&self, _endpoint: &Endpoint) -> Option<Fault> {
        None
    }
}

/// A self-signed certificate, good for the peer and for the client.
struct Papers {
    folder: TempDir,
    certificate: X509,
    key: PKey<Private>,
}

impl Papers {
    fn new() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "gw01/cam-1").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let (folder, certificate) = (tempfile::tempdir().unwrap(), builder.build());
        std::fs::write(folder.path().join("own.pem"), certificate.to_pem().unwrap()).unwrap();
        let text = key.private_key_to_pem_pkcs8().unwrap();
        std::fs::write(folder.path().join("own.key"), text).unwrap();
        Self { folder, certificate, key }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Answers CONNECT and SUBSCRIBE and records every packet, whole.
async fn peer(papers: &Papers) -> (u16, mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_certificate(&papers.certificate).unwrap();
    context.set_private_key(&papers.key).unwrap();
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    context.set_session_id_context(b"golden").unwrap();
    let context = context.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, recorded) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = SslStream::new(Ssl::new(&context).unwrap(), tcp).unwrap();
        Pin::new(&mut stream).accept().await.unwrap();
        while let Some(packet) = whole(&mut stream).await {
            let answer = match packet[0] {
                0x10 => vec![0x20, 2, 0, 0],
                // Of one filter; the id follows the two bytes of the fixed header.
                0x82 => vec![0x90, 3, packet[2], packet[3], 1],
                _ => Vec::new(),
            };
            stream.write_all(&answer).await.unwrap();
            let _nobody_listens_any_more = seen.send(packet);
        }
    });
    (port, recorded)
}

async fn whole(stream: &mut SslStream<tokio::net::TcpStream>) -> Option<Vec<u8>> {
    let mut packet = vec![stream.read_u8().await.ok()?];
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        packet.push(byte);
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let head = packet.len();
    packet.resize(head + length, 0);
    stream.read_exact(&mut packet[head..]).await.ok()?;
    Some(packet)
}

fn request(papers: &Papers, port: u16, credential: Credential) -> ConnectRequest {
    let (device, module) = (DeviceId::new("gw01").unwrap(), ModuleId::new("cam-1").unwrap());
    let host = "myhub.azure-devices.net";
    ConnectRequest {
        epoch: Epoch(1),
        host: "localhost".into(),
        port,
        trusted_ca: Some(papers.file("own.pem")),
        client_id: modtwin_wire::client_id(&device, &module),
        user_name: modtwin_wire::user_name(host, &device, &module, "2021-04-12", None),
        credential,
        keep_alive: Duration::from_secs(180),
        time_limit: PATIENCE,
    }
}

fn engine() -> Engine {
    Engine::start(Arc::new(NoDiagnosis)).unwrap()
}

async fn status(events: &mut LinkEvents, expected: LinkStatus) {
    let (_, status) = timeout(PATIENCE, events.status.recv()).await.unwrap().unwrap();
    assert_eq!(status, expected);
}

/// The next packet is the file's, byte by byte.
async fn comes(recorded: &mut mpsc::UnboundedReceiver<Vec<u8>>, name: &str) {
    let golden = packet(name);
    assert!(golden.is("from", "paho"), "{name} is not said to be paho's");
    let found = timeout(PATIENCE, recorded.recv()).await.unwrap().unwrap();
    let expected = golden.bytes();
    let shown = String::from_utf8_lossy(&found).into_owned();
    assert_eq!(found, expected, "{name}: the client sent {shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemons_client_sends_the_golden_bytes() {
    let papers = Papers::new();
    let (port, mut recorded) = peer(&papers).await;
    let engine = engine();
    let (mut link, mut events) = engine.link("cam-1");
    let means = packet("paho-connect").means();
    let token = Secret::new(means["password"].as_str().unwrap().to_owned());
    let expires = SystemTime::now() + Duration::from_secs(3600);
    link.connect(request(&papers, port, Credential::Token { token, expires }));
    status(&mut events, LinkStatus::Connected).await;
    comes(&mut recorded, "paho-connect").await;
    link.subscribe(&modtwin_wire::SUBSCRIPTIONS);
    status(&mut events, LinkStatus::Subscribed).await;
    comes(&mut recorded, "paho-subscribe-answers").await;
    comes(&mut recorded, "paho-subscribe-desired").await;
    comes(&mut recorded, "paho-subscribe-methods").await;
    let get = modtwin_wire::encode(RequestId(12), &Request::GetTwin);
    link.publish(&get.topic, get.payload);
    comes(&mut recorded, "paho-get").await;
    let text = packet("paho-report").means()["payload"].as_str().unwrap().to_owned();
    let patch: Document = serde_json::from_str(&text).unwrap();
    let report = modtwin_wire::encode(RequestId(13), &Request::Report(patch));
    link.publish(&report.topic, report.payload);
    comes(&mut recorded, "paho-report").await;
    let telemetry = packet("paho-telemetry").means();
    let text = |member: &str| telemetry[member].as_str().unwrap().to_owned();
    link.deliver(7, &text("topic"), text("payload").into_bytes());
    comes(&mut recorded, "paho-telemetry").await;
    link.disconnect();
    comes(&mut recorded, "paho-disconnect").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_certificate_sends_no_password() {
    let papers = Papers::new();
    let (port, mut recorded) = peer(&papers).await;
    let engine = engine();
    let (mut link, mut events) = engine.link("cam-1");
    let credential = Credential::X509 {
        certificate: papers.file("own.pem"),
        private_key: papers.file("own.key"),
        password: None,
        expires: SystemTime::now() + Duration::from_secs(3600),
    };
    link.connect(request(&papers, port, credential));
    status(&mut events, LinkStatus::Connected).await;
    comes(&mut recorded, "paho-connect-certificate").await;
    link.disconnect();
    comes(&mut recorded, "paho-disconnect").await;
}
