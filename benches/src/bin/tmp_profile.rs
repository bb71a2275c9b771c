use sipoauth_bench::kamailio::rounds::{load, opaque};
use sipoauth_bench::kamailio::site::{Ground, Way};
use sipoauth_bench::kamailio::proxy::Proxy;
fn main() {
    let ground = Ground::new().unwrap();
    let which = std::env::args().nth(1).unwrap();
    let mut proxy = if which == "opaque" {
        Proxy::launch("opaque", ground.base(), &ground.defines("opaque", Way::Opaque).unwrap()).unwrap()
    } else {
        let url = format!("HTTP_CLIENT=\"{}\"", ground.server.url("/introspect"));
        Proxy::launch("http_client", ground.base(), &[url, "BYSTANDERS".into()]).unwrap()
    };
    proxy.wait_until_ready().unwrap();
    let rounds: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    for n in 0..rounds {
        let f = proxy.faults().unwrap();
        let c = load(&mut proxy, &mut opaque(5000), 5000, (n % 200 + 1) as u8).unwrap();
        println!("{which} {c:.1} us, faults {:.2}", (proxy.faults().unwrap() - f) / 5000.0);
    }
}
