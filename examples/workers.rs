//! Several worker processes in small, all under one key: one of them tends. Run it
//! against a cluster, or against `tendmap sim`:
//!
//! ```text
//! cargo run --example workers -- 127.0.0.1:3100
//! ```

use std::process::Command;
use std::time::Duration;

use tendmap::client::{Client, Config};
use tendmap::route::{Policy, Record};

const KEY: u32 = 0xA700_00FF;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().ok_or("wanted a host: NAME:PORT")?;
    if let Some(number) = arguments.next() {
        return work(&host, number.parse()?);
    }
    let start = |number: usize| {
        Command::new(std::env::current_exe()?).args([&host, &number.to_string()]).spawn()
    };
    let workers: Vec<_> = (1..=4).map(start).collect::<Result<_, _>>()?;
    for mut worker in workers {
        worker.wait()?;
    }
    Ok(())
}

fn work(host: &str, number: u64) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(Config::shared(vec![host.parse()?], KEY))?;
    // A real worker keeps its pool of connections with each node. This one counts the
    // commands that would go there.
    let mut router = client.router_with(|_| 0_u64);
    let Some(first) = client.map()?.map.namespaces().first().map(|found| found.name) else {
        return Err("the cluster has no namespace".into());
    };
    let namespace = router.namespace(first.as_str())?;
    for round in 0..3 {
        for user in 0..10_000 {
            let mut route =
                router.route(namespace, Record::new("users", user), Policy::Sequence)?;
            *route.state_mut() += 1;
        }
        println!("worker {number}: {}, round {round} routed", client.role());
        // Workers end one after the other, and hand the ownership over.
        std::thread::sleep(Duration::from_millis(200 * number));
    }
    client.close();
    Ok(())
}
