# The page in a container (docs/serving.md):
#   docker build -t omni . && docker run --rm -p 127.0.0.1:7860:7860 -v omni-data:/data omni
# For an NVIDIA GPU: --build-arg TORCH=cu130, and docker run --gpus all.
# Runs as any user and with a read-only root file system: it writes to /data and /tmp alone.

# Debian with Python 3.11 to 3.13
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS packages
# cpu; of an NVIDIA GPU cu126, cu128, cu130 (what its driver knows); index: what PyPI carries
ARG TORCH=cpu
ARG UV=0.13.9
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
  && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir "uv==${UV}"
WORKDIR /app
COPY requirements.txt constraints.txt ./
RUN python3 -m venv --without-pip /opt/omni \
  && if [ "${TORCH}" != index ]; then export UV_TORCH_BACKEND="${TORCH}"; fi \
  && /opt/uv/bin/uv pip install --python /opt/omni/bin/python -r requirements.txt -c constraints.txt

FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 ca-certificates \
  && rm -rf /var/lib/apt/lists/*
COPY --from=packages /opt/omni /opt/omni
WORKDIR /app
COPY . .
# /data is everybody's, as /tmp is: a new volume takes that over, whoever the user is.
RUN /opt/omni/bin/python -m compileall -q . \
  && mkdir -m 1777 /data
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
  HOME=/data XDG_DATA_HOME=/data XDG_CONFIG_HOME=/data/config XDG_CACHE_HOME=/data/cache \
  HF_HOME=/data/hub \
  GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860
VOLUME /data
EXPOSE 7860
USER 1000:1000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["/opt/omni/bin/python", "-m", "demos.hosting.health"]
ENTRYPOINT ["/opt/omni/bin/python", "app.py"]
