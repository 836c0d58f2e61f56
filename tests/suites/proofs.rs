//! What clients prove: who they are, by a signature or a certificate, and that they have what their tokens are bound to.
//! With real keys, real TLS and several pods.

#[path = "proofs/assertions.rs"]
mod assertions;
#[path = "proofs/dpop.rs"]
mod dpop;
#[path = "proofs/encrypted_requests.rs"]
mod encrypted_requests;
#[path = "proofs/encryption.rs"]
mod encryption;
#[path = "proofs/exchange.rs"]
mod exchange;
#[path = "proofs/fapi.rs"]
mod fapi;
#[path = "proofs/hmacs.rs"]
mod hmacs;
#[path = "proofs/hostile_keys.rs"]
mod hostile_keys;
#[path = "proofs/issuers.rs"]
mod issuers;
#[path = "proofs/keys.rs"]
mod keys;
#[path = "proofs/mutual_tls.rs"]
mod mutual_tls;
#[path = "proofs/rebinding.rs"]
mod rebinding;
#[path = "proofs/request_objects.rs"]
mod request_objects;
#[path = "proofs/sectors.rs"]
mod sectors;

use std::ops::Deref;

use tests::pki::Authority;
use tests::world::World;
use tokio::sync::OnceCell;

/// Where clients with certificates reach the second pod, it says.
const MTLS_URL: &str = "https://mtls.example";

/// Two pods. Both ask for certificates and know a header for them; the second takes what this machine sends for a
/// proxy's, the first takes it for anybody's.
struct Setting {
    world: World,
    /// Who is trusted to vouch for clients, and certifies the pods as well.
    authority: Authority,
}

struct Shared(&'static Setting);

impl Deref for Shared {
    type Target = Setting;

    fn deref(&self) -> &Setting {
        self.0
    }
}

impl Deref for Setting {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.show_logs();
        }
    }
}

async fn shared() -> Shared {
    static SETTING: OnceCell<Setting> = OnceCell::const_new();
    Shared(SETTING.get_or_init(start).await)
}

async fn start() -> Setting {
    let authority = Authority::new("proofs");
    let pod = authority.certify("pod");
    let [cert, key, ca] = &pod.files;
    let mut world = World::start(1, 0).await;
    for (name, proxies, mtls) in [("pod-0", "192.0.2.1", ""), ("pod-1", "127.0.0.1", MTLS_URL)] {
        let flags = [
            "--tls-addr",
            "127.0.0.1:0",
            "--public-tls-cert-file",
            cert,
            "--public-tls-key-file",
            key,
            "--tls-client-certificates",
            "request",
            "--client-ca-file",
            ca,
            "--client-cert-header",
            "x-ssl-client-cert",
            "--trusted-proxies",
            proxies,
            "--outbound-allowed-networks",
            "127.0.0.0/8",
            "--mtls-public-url",
            mtls,
        ];
        world.add_pod_with(name, "", &flags).await;
    }
    Setting { world, authority }
}
