# A gateway in a container: built from this checkout, run by a user without rights, its state in a volume.
#
#   docker build -t overlay .
#   docker run --network host -v overlay:/var/lib/overlay overlay
#
# With --network host its proxy, DNS and loopback addresses are those of the machine; configs/compose-app.yaml has it beside an
# app instead. `docker exec CONTAINER overlay status` and every other command work.

FROM python:3.13-slim AS build
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY resolver resolver
COPY tunnels tunnels
RUN python -m venv /opt/overlay \
    && /opt/overlay/bin/pip install --no-cache-dir --no-compile '.[dht,redis,upnp]' \
    && /opt/overlay/bin/pip uninstall --yes pip

FROM python:3.13-slim
RUN useradd --system --uid 10739 --home-dir /var/lib/overlay --create-home overlay
COPY --from=build /opt/overlay /opt/overlay
ENV PATH=/opt/overlay/bin:$PATH OVERLAY_HOME=/var/lib/overlay PYTHONDONTWRITEBYTECODE=1
USER overlay
VOLUME /var/lib/overlay
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD ["overlay", "status", "--json"]
ENTRYPOINT ["overlay"]
CMD ["up"]
