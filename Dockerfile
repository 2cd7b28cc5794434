# The image of The Plugs. `plugs serve` is its default; `worker` and `migrate` are other commands of the same image.
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t the-plugs .

FROM python:3.12.13-slim-trixie AS base


FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build

# /opt/plugs goes into the image and has no pip of its own; /opt/build stays behind.
RUN python -m venv --without-pip /opt/plugs \
    && python -m venv --without-pip /opt/build
COPY requirements/production.lock requirements/build.lock requirements/
RUN pip --python /opt/plugs/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements/production.lock \
    && pip --python /opt/build/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.lock

COPY pyproject.toml README.md LICENSE main.py ./
COPY core core
COPY modules modules
COPY migrations migrations
RUN /opt/build/bin/python -m hatchling build -t wheel -d dist \
    && pip --python /opt/plugs/bin/python install --no-cache-dir --no-index --no-deps dist/the_plugs-*.whl


FROM base
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title="The Plugs" \
      org.opencontainers.image.description="A multi-tenant B2B networking and event platform with pluggable feature modules" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.vendor="The Plugs authors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Nothing in the running image can install anything.
RUN rm -rf /usr/local/lib/python3.12/ensurepip /usr/local/lib/python3.12/site-packages/pip* /usr/local/bin/pip* \
    && groupadd --gid 10001 plugs \
    && useradd --uid 10001 --gid plugs --no-create-home --home-dir /tmp --shell /usr/sbin/nologin plugs

# Owned by root: the process can't change its own code. pip has compiled it, so the root file system may be read-only.
COPY --from=build /opt/plugs /opt/plugs
ENV PATH=/opt/plugs/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PLUGS_HOST=0.0.0.0 \
    PLUGS_PORT=8000
WORKDIR /opt/plugs
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# Past any proxy the environment names. Only `serve` answers; switch the check off where another command runs.
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PLUGS_PORT'] + '/health/live', timeout=3)"]

ENTRYPOINT ["plugs"]
CMD ["serve"]
