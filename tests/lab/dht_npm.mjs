// Nodes of npm's bittorrent-dht on loopback, and npm's pkarr as a client of them. Run in a directory where both are
// installed: the number of nodes, then the port of one to join or 0. Prints their ports, then answers one line for each.
import DHT from 'bittorrent-dht'
import { SignedPacket } from 'pkarr'
import { createInterface } from 'readline'
import sodium from 'sodium-universal'
import { DHT as PkarrDht } from './node_modules/pkarr/lib/dht.js'

const [count, join] = process.argv.slice(1).map(Number)
const verify = sodium.crypto_sign_verify_detached
const nodes = []
for (let i = 0; i < count; i++) {
  const known = join || nodes[0]?.address().port
  const node = new DHT({ bootstrap: known ? [`127.0.0.1:${known}`] : false, verify, host: '127.0.0.1' })
  await new Promise(resolve => node.listen(0, '127.0.0.1', resolve))
  nodes.push(node)
}
await Promise.all(nodes.slice(join ? 0 : 1).map(node => new Promise(resolve => node.on('ready', resolve))))
console.log(JSON.stringify(nodes.map(node => node.address().port)))

const nothing = { loadRoutingTable () {}, saveRoutingTable () {} }
async function withPkarr (use) {
  const dht = new PkarrDht({ bootstrap: [{ host: '127.0.0.1', port: nodes[0].address().port }], storage: nothing })
  try {
    await new Promise(resolve => dht._dht.on('ready', resolve))
    return await use(dht)
  } finally {
    dht.destroy()
  }
}

function keyPair (seed) {
  const publicKey = Buffer.alloc(32)
  const secretKey = Buffer.alloc(64)
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, Buffer.from(seed, 'hex'))
  return { publicKey, secretKey }
}

const commands = {
  // Publishes with pkarr; answers what it signed.
  async publish ({ seed, answers, timestamp }) {
    const signed = SignedPacket.fromPacket(
      keyPair(seed), { id: 0, type: 'response', flags: 0, answers }, { timestamp }
    )
    const { nodes } = await withPkarr(dht => dht.put(signed.bep44Args()))
    return { nodes: nodes.length, payload: Buffer.from(signed.bytes()).toString('hex') }
  },
  // Resolves with pkarr, which verifies.
  async resolve ({ key }) {
    const found = await withPkarr(dht => dht.get(Buffer.from(key, 'hex'), { fullLookup: true }))
    if (!found) return null
    const signed = SignedPacket.fromBep44Args(found)
    return {
      payload: Buffer.from(signed.bytes()).toString('hex'),
      answers: signed.packet().answers.map(answer => [answer.name, answer.type])
    }
  },
  // Puts bytes as they are at each of the nodes: what no client would.
  async plant ({ target, item }) {
    const bytes = Object.fromEntries(
      Object.entries(item).map(([name, value]) => [name, typeof value === 'string' ? Buffer.from(value, 'hex') : value])
    )
    for (const node of nodes) node._values.set(target, { id: node.nodeId, ...bytes })
    return nodes.length
  },
  // All of the nodes lose what they keep there.
  async forget ({ target }) {
    for (const node of nodes) node._values.remove(target)
    return true
  },
  // How many of the nodes keep something there, and with which sequence number.
  async kept ({ target }) {
    return nodes.map(node => node._values.get(target)?.seq).filter(seq => seq !== undefined)
  },
  async announce ({ topic, port }) {
    await new Promise((resolve, reject) =>
      nodes[0].announce(Buffer.from(topic, 'hex'), port, error => error ? reject(error) : resolve())
    )
    return true
  },
  async lookup ({ topic }) {
    const peers = new Set()
    const heard = (peer, hash) => { if (hash.toString('hex') === topic) peers.add(`${peer.host}:${peer.port}`) }
    nodes[1].on('peer', heard)
    await new Promise(resolve => nodes[1].lookup(Buffer.from(topic, 'hex'), resolve))
    nodes[1].removeListener('peer', heard)
    return [...peers]
  }
}

const lines = createInterface({ input: process.stdin })
lines.on('line', async line => {
  const { command, ...options } = JSON.parse(line)
  try {
    console.log(JSON.stringify({ done: await commands[command](options) }))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }))
  }
})
lines.on('close', () => process.exit(0))
