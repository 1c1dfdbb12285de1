# The program with the engines of the extra `cluster`: docker build -t retrieve .
# PyTorch's default build is the one for CUDA. For a smaller image without it, give the address of
# PyTorch's index of CPU builds as --build-arg PIP_EXTRA_INDEX_URL=…
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY pyproject.toml README.md LICENSE LICENSE-WEIGHTS NOTICE ./
COPY clipmodel clipmodel
COPY indexes indexes
COPY retrieval retrieval
RUN pip install --no-cache-dir ".[cluster]" && rm -rf /src

# Models, thumbnails and this machine's index are kept below /cache.
RUN useradd --create-home --uid 1000 retrieve && install -d -o retrieve /cache /pictures
ENV XDG_CACHE_HOME=/cache XDG_DATA_HOME=/cache/data
USER retrieve
WORKDIR /home/retrieve
VOLUME /cache
EXPOSE 8000
ENTRYPOINT ["retrieve"]
CMD ["--help"]
