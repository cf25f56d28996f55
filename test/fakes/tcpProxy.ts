/** A link that is slow and breaks: takes connections for a port, hands bytes on later than they came, and cuts connections, all by one seed. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createRandom } from '../sim/random.ts'

export type ProxyOptions = {
  /** Port to listen on; 0: any. */
  readonly from: number
  readonly to: number
  readonly seed: number
  /** Each piece of bytes waits for so long, at least and at most; its order stays. */
  readonly delayMs: readonly [number, number]
  /** Of how many pieces one cuts its connection instead. */
  readonly cutOneIn: number
}

export type TcpProxy = {
  readonly port: number
  /** Connections that were cut so far. */
  cuts(): number
  /** From now on no byte arrives, and nobody is told. */
  swallow(): void
  /** From now on bytes pass at once, and nothing is cut. What lost bytes is cut before. */
  heal(): void
  close(): Promise<void>
}

/** Listens on the loopback. */
export async function startTcpProxy({ from, to, seed, delayMs, cutOneIn }: ProxyOptions): Promise<TcpProxy> {
  const random = createRandom(seed)
  const sockets = new Set<Socket>()
  let cuts = 0
  let healed = false
  let swallows = false

  function pass(source: Socket, target: Socket): void {
    /** What is under way. Timers may end in another order than they began in, bytes may not. */
    const underWay: Buffer[] = []
    let freeAt = 0
    source.on('data', (bytes: Buffer) => {
      if (swallows) return
      if (!healed && random() * cutOneIn < 1) {
        cuts++
        source.destroy()
        target.destroy()
        return
      }
      const [least, most] = healed ? [0, 0] : delayMs
      freeAt = Math.max(freeAt, performance.now() + least + random() * (most - least))
      underWay.push(bytes)
      setTimeout(
        () => {
          const next = underWay.shift()
          if (next && target.writable) target.write(next)
        },
        Math.max(0, freeAt - performance.now()),
      )
    })
    source.on('close', () => target.destroy())
    source.on('error', () => target.destroy())
  }

  const server: Server = createServer((client) => {
    const upstream = connect(to, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    pass(client, upstream)
    pass(upstream, client)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(from, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    cuts: () => cuts,
    swallow() {
      swallows = true
    },
    heal() {
      if (swallows) for (const socket of sockets) socket.destroy()
      swallows = false
      healed = true
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
