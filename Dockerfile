# The daemon in a container; README.md tells how to build it, docs/decisions/090 to 092 why it is so.

# Exact for good as NAME@sha256:DIGEST. Whatever has Python 3.11 or newer and CA certificates will
# do; it needs neither pip nor a shell if BUILD_IMAGE has them and the same Python.
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS tools
RUN ["python3", "-m", "venv", "/tools"]

# The one stage that needs a network. A folder of wheels given as build context `wheels` replaces
# it; where packages come from otherwise may be told by the secrets `pip.conf` and `pip.pem`.
FROM tools AS download
COPY requirements/build.lock requirements/tracing.lock /requirements/
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=pip.pem \
    PIP_CONFIG_FILE=/run/secrets/pip.conf \
    /tools/bin/pip download --quiet --disable-pip-version-check --no-cache-dir \
        --require-hashes --only-binary :all: --dest /wheels \
        -r /requirements/build.lock -r /requirements/tracing.lock

FROM scratch AS wheels
COPY --from=download /wheels /

FROM tools AS build
# Dates in files and in bytecode would make two builds differ, and so would the order of a set.
ARG SOURCE_DATE_EPOCH=1580601600
ENV PIP_CONFIG_FILE=/dev/null \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INDEX=1 \
    PIP_QUIET=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0
COPY requirements/build.lock requirements/tracing.lock /requirements/
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv --without-pip /opt/tirelessd && \
    /tools/bin/pip install -f /wheels --require-hashes --only-binary :all: \
        -r /requirements/build.lock && \
    /tools/bin/pip --python /opt/tirelessd/bin/python install -f /wheels --no-compile \
        --require-hashes --only-binary :all: -r /requirements/tracing.lock
COPY LICENSE README.md pyproject.toml /source/
COPY src /source/src
# Packages of handlers come last on the path, so that they cannot replace a locked one.
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist /source && \
    /tools/bin/pip --python /opt/tirelessd/bin/python install --no-deps --no-compile /dist/*.whl && \
    find /opt/tirelessd/bin -type f ! -name tirelessd -delete && \
    echo /opt/handlers > "$(echo /opt/tirelessd/lib/python3.*/site-packages)/handlers.pth" && \
    /opt/tirelessd/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        /opt/tirelessd/lib && \
    mkdir /data && \
    find /opt/tirelessd /data -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM ${BASE_IMAGE}
USER 0
# Slim images come without bytecode, and on a read-only file system none is ever kept.
RUN ["python3", "-c", "import compileall, re, sysconfig; \
    unused = re.compile('/(site-packages|dist-packages|test|tests|idlelib|lib2to3|tkinter)/'); \
    compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=1, rx=unused)"]
COPY --from=build --chown=65532:65532 /data /var/lib/tirelessd
COPY --from=build /opt/tirelessd /opt/tirelessd
ENV PATH=/opt/tirelessd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TIRELESSD_CONFIG=/etc/tirelessd/tirelessd.yaml
USER 65532:65532
WORKDIR /var/lib/tirelessd
VOLUME ["/var/lib/tirelessd"]
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# Liveness, for what heeds this ends containers; whether to send it callers is /readyz's to say.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["/opt/tirelessd/bin/tirelessd", "healthcheck", "--live", "--timeout-seconds", "5"]
ENTRYPOINT ["/opt/tirelessd/bin/tirelessd"]
CMD ["serve"]

# Last, for they change with every commit.
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
# For tirelessd_build_info: two builds of one version are told apart by it.
ENV TIRELESSD_REVISION=${REVISION}
LABEL org.opencontainers.image.title="tirelessd" \
      org.opencontainers.image.description="Hand it work over HTTP; it keeps at it until it is done." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
