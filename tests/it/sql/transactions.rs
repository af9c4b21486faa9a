//! One transaction for one request: committed with a success, rolled back with anything else.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use http::{Request, Response, StatusCode};
use sqlx::Executor;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::ResponseBody;
use tower_conditional::problem::Reason;
use tower_conditional::report::Report;
use tower_conditional::transaction::{RequestTransaction, TransactionLayer};

fn status(status: StatusCode) -> Response<String> {
    let mut response = Response::new("from the handler".to_owned());
    *response.status_mut() = status;
    response
}

fn taken<DB: tower_conditional::store::sql::Engine>(
    request: &Request<()>,
) -> RequestTransaction<DB> {
    let transaction = request.extensions().get();
    RequestTransaction::clone(transaction.expect("the layer is there"))
}

/// Both databases keep these.
macro_rules! transactions {
    ($database:ty, $pool:path) => {
        use super::*;

        type Handle = RequestTransaction<$database>;
        type Pool = sqlx::Pool<$database>;

        async fn make() -> Option<(Pool, String)> {
            let (pool, table) = $pool().await?;
            let make = format!("CREATE TABLE {table} (number BIGINT NOT NULL UNIQUE)");
            pool.execute(&*make).await.expect("a new table");
            Some((pool, table))
        }

        async fn count(pool: &Pool, table: &str) -> i64 {
            let count = format!("SELECT count(*) FROM {table}");
            let count = sqlx::query_scalar(&count).fetch_one(pool).await;
            count.expect("the table is there")
        }

        async fn insert(handle: &Handle, table: &str) -> Result<(), sqlx::Error> {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let mut connection = handle.connection().await.expect("it begins");
            let insert = format!(
                "INSERT INTO {table} VALUES ({})",
                NUMBER.fetch_add(1, Relaxed)
            );
            connection.execute(&*insert).await.map(drop)
        }

        /// What a client gets of a handler that does `work`.
        async fn serve<F>(
            pool: &Pool,
            method: &str,
            work: impl Fn(Handle) -> F + Clone,
        ) -> Response<ResponseBody<String>>
        where
            F: Future<Output = Response<String>> + Send + 'static,
        {
            let handler = service_fn(move |request: Request<()>| {
                let answer = work(taken(&request));
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let service = TransactionLayer::new(pool.clone()).layer(handler);
            let request = Request::builder()
                .method(method)
                .body(())
                .expect("a request");
            let Ok(response) = service.oneshot(request).await;
            response
        }

        #[tokio::test]
        async fn a_success_is_committed_before_it_is_answered_and_all_else_is_rolled_back() {
            let Some((pool, table)) = make().await else {
                return;
            };
            let mut committed = 0;
            for (code, commits) in [
                (200, true),
                (201, true),
                (204, true),
                (303, true),
                (400, false),
                (404, false),
                (409, false),
                (412, false),
                (500, false),
                (503, false),
            ] {
                let code = StatusCode::from_u16(code).expect("a status");
                let name = table.clone();
                let response = serve(&pool, "PUT", move |handle| {
                    let name = name.clone();
                    async move {
                        // Twice: one transaction.
                        insert(&handle, &name).await.expect("it inserts");
                        insert(&handle, &name).await.expect("it inserts");
                        status(code)
                    }
                })
                .await;
                assert_eq!(response.status(), code);
                committed += if commits { 2 } else { 0 };
                assert_eq!(count(&pool, &table).await, committed, "{code}");
            }
        }

        #[tokio::test]
        async fn a_conflict_that_the_handler_reports_is_rolled_back() {
            let Some((pool, table)) = make().await else {
                return;
            };
            let name = table.clone();
            serve(&pool, "PUT", move |handle| {
                let name = name.clone();
                async move {
                    insert(&handle, &name).await.expect("it inserts");
                    let mut response = status(StatusCode::OK);
                    response
                        .extensions_mut()
                        .insert(Report::Conflict { current: None });
                    response
                }
            })
            .await;
            assert_eq!(count(&pool, &table).await, 0);
        }

        #[tokio::test]
        async fn a_handler_that_asks_for_nothing_costs_nothing() {
            let Some((pool, _)) = make().await else {
                return;
            };
            pool.close().await;
            let response = serve(&pool, "GET", |_| async { status(StatusCode::OK) }).await;
            assert_eq!(response.status(), StatusCode::OK);
            let response = serve(&pool, "GET", |handle| async move {
                let connection = handle.connection().await;
                let error = connection.expect_err("the pool is closed");
                assert!(std::error::Error::source(&error).is_some());
                status(StatusCode::SERVICE_UNAVAILABLE)
            })
            .await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }

        #[tokio::test]
        async fn a_panic_or_a_client_that_leaves_rolls_back() {
            let Some((pool, table)) = make().await else {
                return;
            };
            for panics in [true, false] {
                let (name, reached) = (table.clone(), Arc::new(tokio::sync::Notify::new()));
                let (signal, the_pool) = (Arc::clone(&reached), pool.clone());
                let task = tokio::spawn(async move {
                    serve(&the_pool, "PUT", move |handle| {
                        let (name, signal) = (name.clone(), Arc::clone(&signal));
                        async move {
                            insert(&handle, &name).await.expect("it inserts");
                            signal.notify_one();
                            assert!(!panics, "on purpose");
                            std::future::pending().await
                        }
                    })
                    .await;
                });
                reached.notified().await;
                task.abort();
                assert!(task.await.is_err());
                assert_eq!(count(&pool, &table).await, 0);
            }
        }

        #[tokio::test]
        async fn nobody_commits_a_transaction_that_somebody_still_uses() {
            let Some((pool, table)) = make().await else {
                return;
            };
            let kept = Arc::new(std::sync::Mutex::new(None));
            let (name, keep) = (table.clone(), Arc::clone(&kept));
            let response = serve(&pool, "PUT", move |handle| {
                let (name, keep) = (name.clone(), Arc::clone(&keep));
                async move {
                    insert(&handle, &name).await.expect("it inserts");
                    let connection = handle.connection().await.expect("it is begun");
                    *keep.lock().expect("nobody panics") = Some((handle, connection));
                    status(StatusCode::OK)
                }
            })
            .await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let (handle, connection) = kept.lock().expect("nobody panics").take().expect("kept");
            drop((connection, handle));
            assert_eq!(count(&pool, &table).await, 0);
        }

        #[tokio::test]
        async fn a_transaction_that_is_over_stays_over() {
            let Some((pool, table)) = make().await else {
                return;
            };
            let kept = Arc::new(std::sync::Mutex::new(None));
            let keep = Arc::clone(&kept);
            serve(&pool, "PUT", move |handle| {
                *keep.lock().expect("nobody panics") = Some(handle);
                async { status(StatusCode::OK) }
            })
            .await;
            let handle: Handle = kept.lock().expect("nobody panics").take().expect("kept");
            assert!(handle.connection().await.is_err());
            assert_eq!(count(&pool, &table).await, 0);
        }
    };
}

#[cfg(feature = "sqlx-sqlite")]
mod sqlite {
    async fn pool() -> Option<(sqlx::SqlitePool, String)> {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect("sqlite::memory:").await;
        Some((pool.expect("it is built in"), "things".to_owned()))
    }

    transactions!(sqlx::Sqlite, pool);
}

#[cfg(feature = "sqlx-postgres")]
mod postgres {
    use crate::sql::postgres::{name, pool as pool_on};
    use crate::support::postgres::shared;

    async fn pool() -> Option<(sqlx::PgPool, String)> {
        Some((pool_on(shared()?.options()), name()))
    }

    transactions!(sqlx::Postgres, pool);

    /// PostgreSQL itself answers such a COMMIT with success.
    #[tokio::test]
    async fn a_statement_that_failed_is_no_success_whatever_the_handler_makes_of_it() {
        let Some((pool, table)) = make().await else {
            return;
        };
        let name = table.clone();
        let response = serve(&pool, "PUT", move |handle| {
            let name = name.clone();
            async move {
                insert(&handle, &name).await.expect("it inserts");
                let mut connection = handle.connection().await.expect("it is begun");
                connection
                    .execute("SELECT 1 / 0")
                    .await
                    .expect_err("it fails");
                status(StatusCode::OK)
            }
        })
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.extensions().get(), Some(&Reason::StoreUnavailable));
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(count(&pool, &table).await, 0);
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_never_a_success() {
        let Some((pool, table)) = make().await else {
            return;
        };
        let deferred = format!(
            "ALTER TABLE {table} ADD UNIQUE (number) DEFERRABLE INITIALLY DEFERRED;
            ALTER TABLE {table} DROP CONSTRAINT {table}_number_key"
        );
        pool.execute(&*deferred).await.expect("it can be changed");
        let name = table.clone();
        let response = serve(&pool, "PUT", move |handle| {
            let insert = format!("INSERT INTO {name} VALUES (7), (7)");
            async move {
                let mut connection = handle.connection().await.expect("it begins");
                connection
                    .execute(&*insert)
                    .await
                    .expect("checked at the commit");
                status(StatusCode::OK)
            }
        })
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(count(&pool, &table).await, 0);
    }

    #[tokio::test]
    async fn a_connection_lost_before_the_commit_is_never_a_success() {
        let Some((pool, table)) = make().await else {
            return;
        };
        let (name, admin) = (table.clone(), pool.clone());
        let response = serve(&pool, "PUT", move |handle| {
            let (name, admin) = (name.clone(), admin.clone());
            async move {
                insert(&handle, &name).await.expect("it inserts");
                let mut connection = handle.connection().await.expect("it is begun");
                let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
                    .fetch_one(&mut *connection)
                    .await
                    .expect("it is there");
                let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid);
                end.execute(&admin).await.expect("a superuser may");
                status(StatusCode::OK)
            }
        })
        .await;
        assert!(response.status().is_server_error());
        assert_eq!(count(&pool, &table).await, 0);
    }
}

/// The whole of handler mode in axum: condition, data and version are one commit.
#[cfg(all(feature = "axum", feature = "sqlx-sqlite"))]
#[tokio::test]
async fn in_axum_condition_data_and_version_are_one_commit() {
    use axum::body::Body;
    use axum::{Router, routing};
    use sqlx::{QueryBuilder, Sqlite};
    use tower_conditional::axum::{Conflict, Expected, Wrote};
    use tower_conditional::store::sql::{Compared, Comparison, compare_and_set};
    use tower_conditional::{ConditionalLayer, Problem};

    type Answer = Result<Wrote<StatusCode>, Conflict>;

    async fn rename(
        transaction: RequestTransaction<Sqlite>,
        expected: Expected,
        name: String,
    ) -> Result<Answer, axum::response::Response> {
        use axum::response::IntoResponse;
        let connection = transaction.connection().await;
        let mut connection = connection.map_err(IntoResponse::into_response)?;
        let mut update =
            QueryBuilder::<Sqlite>::new("UPDATE names SET version = version + 1, name = ");
        update
            .push_bind(name)
            .push(" WHERE true")
            .and_expected("version", &expected);
        update.push(" RETURNING version");
        let current = sqlx::query_as("SELECT version, name FROM names");
        let compared = compare_and_set(&mut *connection, update.build_query_as(), current).await;
        let failed = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database", "Database");
        let compared: Compared<(i64,), (i64, String)> =
            compared.map_err(|error| failed(error).into_response())?;
        Ok(match compared {
            Compared::Wrote((version,)) => Ok(Wrote(version.into(), StatusCode::NO_CONTENT)),
            Compared::Conflict(Some((version, name))) => Err(Conflict::with_json(version, &name)),
            Compared::Conflict(None) => Err(Conflict::default()),
        })
    }

    /// Writes, and forgets to say so.
    async fn forgetful(transaction: RequestTransaction<Sqlite>) -> StatusCode {
        let mut connection = transaction.connection().await.expect("it begins");
        let update = "UPDATE names SET version = 100";
        connection.execute(update).await.expect("it is SQL");
        StatusCode::NO_CONTENT
    }

    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let pool = pool
        .connect("sqlite::memory:")
        .await
        .expect("it is built in");
    let make = "CREATE TABLE names (version INTEGER, name TEXT); INSERT INTO names VALUES (5, 'a')";
    pool.execute(make).await.expect("a new table");
    let app: Router = Router::new()
        .route("/name", routing::put(rename).post(forgetful))
        .layer(ConditionalLayer::handler())
        .layer(TransactionLayer::new(pool.clone()));

    for (method, tag, name, expected, now) in [
        ("PUT", "\"5\"", "b", 204, (6, "b")),
        ("PUT", "\"5\"", "c", 412, (6, "b")),
        ("PUT", "\"6\"", "d", 204, (7, "d")),
        ("POST", "\"7\"", "e", 500, (7, "d")),
    ] {
        let request = Request::builder()
            .method(method)
            .uri("/name")
            .header("if-match", tag);
        let request = request.body(Body::from(name)).expect("a request");
        let Ok(response) = app.clone().oneshot(request).await;
        assert_eq!(response.status().as_u16(), expected, "{method} {tag}");
        let row: (i64, String) = sqlx::query_as("SELECT version, name FROM names")
            .fetch_one(&pool)
            .await
            .expect("it is there");
        assert_eq!((row.0, &*row.1), now, "{method} {tag}");
    }
}
