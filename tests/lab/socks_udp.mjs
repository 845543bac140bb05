// A UDP client by the npm package `socks`: node socks_udp.mjs PROXY_HOST PROXY_PORT HOST PORT TEXT; prints the answer.
import dgram from "node:dgram";
import { createRequire } from "node:module";

const { SocksClient } = createRequire(process.cwd() + "/")("socks");
const [proxyHost, proxyPort, host, port, text] = process.argv.slice(2);
const client = new SocksClient({
  command: "associate",
  proxy: { host: proxyHost, port: Number(proxyPort), type: 5 },
  destination: { host: "0.0.0.0", port: 0 },
});
client.on("error", (error) => { console.error(error.message); process.exit(1); });
client.on("established", ({ socket, remoteHost }) => {
  const udp = dgram.createSocket("udp4");
  const frame = SocksClient.createUDPFrame({ remoteHost: { host, port: Number(port) }, data: Buffer.from(text) });
  const again = setInterval(() => udp.send(frame, remoteHost.port, remoteHost.host), 500);
  udp.on("message", (message) => {
    clearInterval(again);
    console.log(SocksClient.parseUDPFrame(message).data.toString());
    udp.close();
    socket.destroy();
  });
  udp.send(frame, remoteHost.port, remoteHost.host);
});
client.connect();
