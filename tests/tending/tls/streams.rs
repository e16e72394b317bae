//! The bytes of a TLS connection.

use super::*;

#[test]
fn a_source_that_is_dropped_sends_no_goodbye() {
    // If a forked child drops the connection, it must not end it for its parent,
    // which a TLS goodbye on the inherited socket would do. The server here counts
    // the bytes that arrive.
    let authority = Authority::new();
    authority.issue("node", &[NAME], false);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (cert, key) = (authority.path("node.pem"), authority.path("node.key"));
    let server = std::thread::spawn(move || {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        let mut tls = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let mut requests = 0;
        loop {
            match tls.read_tls(&mut socket) {
                Ok(0) => return (requests, tls.process_new_packets().unwrap().peer_has_closed()),
                Ok(_) => {
                    let state = tls.process_new_packets().unwrap();
                    requests += state.plaintext_bytes_to_read();
                    while tls.wants_write() {
                        tls.write_tls(&mut socket).unwrap();
                    }
                    assert!(!state.peer_has_closed(), "a goodbye");
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let mut config =
        AerospikeConfig::new(vec![format!("127.0.0.1:{NAME}:{}", address.port()).parse().unwrap()]);
    config.connect_timeout = Duration::from_millis(500);
    config.tls = Some(authority.client());
    let mut source = start(config);
    let error = trouble(&mut source);
    assert!(error.contains("no answer within"), "{error}");
    drop(source);
    let (requests, goodbye) = server.join().unwrap();
    assert!(requests > 0, "the handshake failed");
    assert!(!goodbye, "a goodbye was sent before the socket was closed");
}

/// A proxy in front of a server that counts all bytes from the server before it
/// forwards them.
fn counted(server: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let passed = count.clone();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = std::net::TcpStream::connect(server).unwrap();
        let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut requests, &mut to));
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = server.read(&mut chunk) {
            passed.fetch_add(length as u64, Ordering::Relaxed);
            client.write_all(&chunk[..length]).unwrap();
        }
    });
    (address, count)
}

#[test]
fn every_byte_that_comes_is_counted_with_headers_logins_and_what_tls_adds() {
    let authority = Authority::new();
    let mut sim_config = config(1, authority.nodes());
    sim_config.security = true;
    sim_config.users = vec![SimUser::new("keeper", "sesame")];
    let sim = Sim::start(sim_config).unwrap();
    let credentials = Credentials::new(AuthMode::Internal, "keeper", "sesame".into()).unwrap();
    for tls in [None, Some(authority.client())] {
        let secure = tls.is_some();
        let server = if secure { sim.tls_seeds()[0] } else { sim.seeds()[0] };
        let (address, passed) = counted(server);
        // Otherwise the node would be asked at the address that it reports, past the
        // counter.
        let service = if secure { "service-tls-std" } else { "service-clear-std" };
        sim.set_reply(1, service, Some(&address.to_string())).unwrap();
        let mut settings = settings(&sim, TlsConfig::default());
        settings.tls = tls;
        settings.hosts = vec![format!("127.0.0.1:{NAME}:{}", address.port()).parse().unwrap()];
        settings.credentials = Some(credentials.clone());
        let mut source = start(settings);
        let mut told = 0;
        for _ in 0..3 {
            told += source.tend(&mut Log::default()).unwrap().bytes_in;
            // All replies have arrived, so no more bytes are on the way.
            assert_eq!(told, passed.load(Ordering::Relaxed), "TLS: {secure}");
        }
        assert!(told > 1000, "a map of partitions alone is larger: {told}");
    }
}

/// The error that a survey reports for its only host.
fn said(config: &AerospikeConfig) -> String {
    let survey = tendmap::internals::tend::survey(config, &mut Log::default()).unwrap();
    assert!(survey.error.is_some());
    survey.hosts[0].addresses[0].node.clone().expect_err("the host does not give a valid reply")
}

#[test]
fn h59_a_clear_port_with_tls_on_and_a_tls_port_with_tls_off_are_told_as_such() {
    let authority = Authority::new();
    let sim = Sim::start(config(1, authority.nodes())).unwrap();
    let (clear, secure) = (sim.seeds()[0], sim.tls_seeds()[0]);
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![format!("{}:{NAME}:{}", clear.ip(), clear.port()).parse().unwrap()];
    let text = said(&settings_of);
    assert!(text.contains("plaintext") && text.contains("TLS is on"), "{text}");
    assert!(text.contains(&secure.to_string()), "it names the port to use: {text}");
    let mut settings_of = AerospikeConfig::new(vec![secure.into()]);
    settings_of.connect_timeout = Duration::from_secs(5);
    let text = said(&settings_of);
    assert!(text.contains("speaks TLS at this port"), "{text}");
    // With security enabled the port is still a plaintext port.
    sim.set_security(true).unwrap();
    let mut settings_of = settings(&sim, authority.client());
    settings_of.hosts = vec![format!("{}:{NAME}:{}", clear.ip(), clear.port()).parse().unwrap()];
    let text = said(&settings_of);
    assert!(text.contains("plaintext"), "{text}");
}

#[test]
fn h59_an_alert_of_tls_is_understood_by_the_tender() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0];
            let _ = stream.read(&mut byte);
            // OpenSSL's answer to plaintext.
            let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 256]);
        }
    });
    let mut source = start(AerospikeConfig::new(vec![address.into()]));
    let error = trouble(&mut source);
    assert!(error.contains("speaks TLS at this port"), "{error}");
}
