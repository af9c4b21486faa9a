//! What the stores cost at their servers: each table has the same work done by hand over the same
//! driver, and the cases take turns, so that only ratios within one run are compared.

mod hot;
mod postgres;
mod redis;
mod rounds;
mod support;

use self::rounds::Bench;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a machine that can start two threads");
    runtime.block_on(async {
        let mut bench = Bench::from_args();
        postgres::tables(&mut bench).await;
        hot::table(&mut bench).await;
        redis::tables(&mut bench).await;
    });
}
