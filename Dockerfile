# A classroom's server:
#   docker build -t playground --build-arg TORCH_INDEX=… .
#   docker run -p 8501:8501 -v playground:/home/playground/artifacts playground
# The first start prints the teacher's token (docker logs). Everything that is built and imported
# lies in the volume.
FROM python:3.12-slim

# PyTorch's index of CPU wheels, as its installation page names it, saves some 5 GB. Without it the
# usual wheels are taken, which include CUDA.
ARG TORCH_INDEX=""

RUN useradd --create-home --uid 1000 playground
WORKDIR /home/playground/app
COPY requirements.txt requirements-heic.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --index-url "$TORCH_INDEX" \
            $(grep -E '^(torch|torchvision)==' requirements.txt); \
    fi \
    && pip install --no-cache-dir -r requirements.txt -r requirements-heic.txt
COPY . .

ENV PLAYGROUND_MODE=classroom \
    PLAYGROUND_HOME=/home/playground/artifacts \
    PYTHONUNBUFFERED=1
RUN mkdir -p "$PLAYGROUND_HOME" && chown playground:playground "$PLAYGROUND_HOME"
USER playground
VOLUME /home/playground/artifacts
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD python -c \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"

# Without PLAYGROUND_MODE=classroom the app refuses to serve other addresses than this machine's.
CMD ["python", "-m", "streamlit", "run", "server.py", \
     "--server.address", "0.0.0.0", "--server.port", "8501", "--server.headless", "true"]
