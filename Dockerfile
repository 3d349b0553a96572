# The server and the command `shelf`, without any model: those lie in folders of the host. See docs/guides/docker.md.
#
#   docker build -t modelshelf .
#   docker build -t modelshelf --build-arg SHELF_UID=$(id -u) --build-arg SHELF_GID=$(id -g) .
#
# With transformers and torch, to load models inside: --build-arg REQUIREMENTS=transformers. Without the network: put
# the wheels into ./wheels (pip download --no-deps -r requirements/core.txt -r requirements/build.txt -d wheels) and add
# --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=wheels.

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG REQUIREMENTS=core
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /opt/modelshelf
COPY . .
RUN if [ "$REQUIREMENTS" = transformers ]; then /opt/modelshelf/bin/pip install -r requirements/torch.txt; fi
RUN /opt/modelshelf/bin/pip install --no-deps --require-hashes -r "requirements/$REQUIREMENTS.txt"
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/dist . \
 && /opt/modelshelf/bin/pip install --no-deps --no-index /build/dist/modelshelf-*.whl

FROM ${PYTHON_IMAGE}
ARG SHELF_UID=1000
ARG SHELF_GID=1000
COPY --from=build /opt/modelshelf /opt/modelshelf
# Any user may run this (`user:` in Compose, --user): the home and the way to the base are open to all.
RUN mkdir -p /home/shelf /root/.cache/huggingface \
 && chmod 1777 /home/shelf \
 && chmod 711 /root /root/.cache \
 && chmod 1777 /root/.cache/huggingface
ENV PATH=/opt/modelshelf/bin:$PATH \
    HOME=/home/shelf \
    PRIMARY_CACHE_PATH=/root/.cache/huggingface \
    HF_TOKEN_PATH=/home/shelf/.hf/token \
    SHELF_HOST=0.0.0.0 \
    SHELF_PORT=8000 \
    PYTHONUNBUFFERED=1
USER ${SHELF_UID}:${SHELF_GID}
WORKDIR /home/shelf
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"SHELF_PORT\"]}/healthz', timeout=4)"]
CMD ["shelf", "serve"]
