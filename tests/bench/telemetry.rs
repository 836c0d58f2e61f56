//! What telemetry costs that is turned off: `client_credentials` tokens per CPU-second of a pod as it is started usually,
//! which logs from `info` on and exports no traces, beside one that lets nothing through at all, so that every event and
//! span ends at the first comparison. In turns, and the middle ratio counts: a machine is busier now and then.

use tests::world::World;

use crate::options::Options;
use crate::table::{self, count, row};
use crate::tokens::{self, measure};

pub(crate) async fn run(options: &Options) {
    let (mut world, request) = tokens::stage().await;
    world.add_pod_with("silent", "", &["--log-level", "off"]).await;
    world.add_pod_with("access", "", &["--log-level", "info,access=info", "--log-format", "json"]).await;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.max(3) {
        let mut of = [0.0; 3];
        for (figure, pod) in of.iter_mut().zip(&world.pods) {
            (*figure, _) = measure(pod.address(), pod.process().id(), request.clone()).await;
        }
        rounds.push(of);
    }
    print(&world, &rounds);
}

fn print(world: &World, rounds: &[[f64; 3]]) {
    let middle = |of: &dyn Fn(&[f64; 3]) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let told =
        ["as usual: logs from info on, no traces", "nothing at all (--log-level off)", "a line for each request"];
    let rows = told.iter().zip(&world.pods).enumerate().map(|(place, (what, _))| {
        let figure = middle(&|round| round.get(place).copied().unwrap_or_default());
        let beside = middle(&|round| round.get(place).copied().unwrap_or_default() / round[1]);
        row([what, &count(figure), &format!("{beside:.3}")])
    });
    let head = row(["a pod that logs", "tokens per CPU-second", "of the silent one"]);
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let note = format!("The middle of {} rounds in turns, and the middle of their ratios.", rounds.len());
    table::print("telemetry that is off", &note, &rows);
}
