/**
 * The process of the network: libp2p and all that comes from strangers, apart from the chain. It is told what to do over the pipe on its third
 * descriptor (node/p2pPipe.ts), asks over it what things are worth, and ends when the pipe does, so when the node does, however that ends. A validator's has
 * a second one, for consensus messages alone, which ends at the thread that runs consensus (node/messageDoor.ts).
 */
import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hex } from 'viem'
import type { DirectOptions, HelloVerdict } from '../p2p/direct.ts'
import type { Verdict } from '../p2p/gossip.ts'
import { openNetwork, type PeerNetwork } from '../p2p/network.ts'
import { P2pError } from '../p2p/p2pError.ts'
import { type BlocksRequest, type CertifiedBlock, encodeTransactions } from '../p2p/wire.ts'
import { watchLoopDelay } from './loopDelay.ts'
import type { OpenedNetwork, OpenNetwork, ProcessFacts, SaidHello } from './p2pChild.ts'
import { createPipe, type Pipe } from './p2pPipe.ts'

/** How often the node is told how things stand. */
const STATE_MS = 250
const TICK_MS = 20
/** Tries to listen, and the time between them. */
const LISTEN_TRIES = 10
const LISTEN_WAIT_MS = 200

const delays = monitorEventLoopDelay({ resolution: TICK_MS })
let network: PeerNetwork | undefined
let messages: Pipe | undefined

const pipe = createPipe({
  socket: new Socket({ fd: 3, readable: true, writable: true }),
  handlers: {
    open,
    async close() {
      await network?.close()
    },
    request: (request: BlocksRequest) => network?.request(request) ?? { ok: false, code: 'noPeer' },
    fetchBlock: ({ hash, first }: { readonly hash: Hex; readonly first?: string }) => network?.direct?.fetchBlock(hash, first),
    blame: ({ peer, why }: { readonly peer: string; readonly why: string }) => network?.blame(peer, why),
    blameDirect: ({ peer, why }: { readonly peer: string; readonly why: string }) => network?.direct?.blame(peer, why),
    sendTransaction: (raw: Uint8Array) => network?.sendTransaction(raw),
    sendBlock: (certified: CertifiedBlock) => network?.sendBlock(certified),
    sendSigners: (signers: Uint8Array) => network?.sendSigners(signers),
    broadcastBlock: (block: Uint8Array) => network?.direct?.broadcastBlock(block),
    sendCheckpoint: ({ signature, peer }: { readonly signature: Uint8Array; readonly peer?: string }) =>
      network?.direct?.sendCheckpoint(signature, peer),
    recheck: () => network?.direct?.recheck(),
  },
  onClose: () => process.exit(0),
})

// The node decides when it ends: a terminal tells the whole group.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})

async function open({ seed, genesisHash, listen, bootstrap, messagesAt }: OpenNetwork): Promise<OpenedNetwork> {
  if (messagesAt !== undefined) messages = await meet(messagesAt)
  const say = (level: 'debug' | 'info' | 'warn') => (event: string, facts?: Readonly<Record<string, unknown>>) =>
    void pipe.tell('log', { level, event, facts })
  network = await listening(() =>
    openNetwork(
      {
        checkTransactions: async (transactions, from) =>
          (await pipe.call('checkTransactions', { batch: encodeTransactions(transactions), from })) as Verdict,
        checkBlock: async (news, from) => (await pipe.call('checkBlock', { news, from })) as Verdict,
        readBlock: async (number) => (await pipe.call('readBlock', number)) as CertifiedBlock | undefined,
        onPeer: () => void pipe.tell('onPeer'),
        direct: messages && directOptions,
      },
      { seed, genesisHash, listen, bootstrap, log: { debug: say('debug'), info: say('info'), warn: say('warn') } },
    ),
  )
  delays.enable()
  watchLoopDelay((delay) => pipe.tell('delay', delay))
  setInterval(tellState, STATE_MS)
  return { peerId: network.peerId, addresses: network.addresses }
}

/** The pipe of messages, to who waits at the path for it. */
async function meet(path: string): Promise<Pipe> {
  const socket = connect(path)
  await once(socket, 'connect')
  return createPipe({
    socket,
    handlers: {
      broadcast: (message: Uint8Array) => network?.direct?.broadcast(message),
      sendTo: ({ peer, message }: { readonly peer: string; readonly message: Uint8Array }) => network?.direct?.sendTo(peer, message),
      blameDirect: ({ peer, why }: { readonly peer: string; readonly why: string }) => network?.direct?.blame(peer, why),
    },
    onClose: () => process.exit(0),
  })
}

/** Tries for a while: the process of a node that was killed a moment ago may not have let go of the port yet. */
async function listening(openOnce: () => Promise<PeerNetwork>): Promise<PeerNetwork> {
  for (let tries = 1; ; tries++) {
    try {
      return await openOnce()
    } catch (error) {
      if (!(error instanceof P2pError) || tries === LISTEN_TRIES) throw error
      await sleep(LISTEN_WAIT_MS)
    }
  }
}

async function directOptions(peerId: string): Promise<DirectOptions> {
  const { hello, hasBlockCheck } = (await pipe.call('hello', peerId)) as SaidHello
  return {
    hello,
    checkHello: async (peer, hello) => (await pipe.call('checkHello', { peer, hello })) as HelloVerdict,
    onMessage: (message, from) => void messages?.tell('onMessage', { message, from }),
    onBlock: (block, from) => void pipe.tell('onBlock', { block, from }),
    onCheckpoint: (signature, from) => void pipe.tell('onCheckpoint', { signature, from }),
    readBlock: async (hash) => (await pipe.call('readBytes', hash)) as Uint8Array | undefined,
    ...(hasBlockCheck && { isBlock: async (hash, block) => (await pipe.call('isBlock', { hash, block })) === true }),
    onValidator(peer, publicKey) {
      tellState() // whoever hears of it looks at who is there
      pipe.tell('onValidator', { peer, publicKey })
    },
  }
}

function tellState(): void {
  if (!network) return
  const { rss } = process.memoryUsage()
  const counts = [pipe.counts(), ...(messages ? [messages.counts()] : [])]
  const facts: ProcessFacts = {
    delayMs: Math.round(delays.max / 1e6),
    rssBytes: rss,
    pipeDrops: counts.reduce((sum, { drops }) => sum + drops, 0),
    pipeWaitingBytes: counts.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0),
  }
  delays.reset()
  pipe.tell('state', { peers: network.peers(), validators: network.direct?.validators() ?? [], metrics: network.metrics(), facts })
}
