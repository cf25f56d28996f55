/**
 * The thread of consensus: the validator (node/validator.ts) with its log, its guard, its signer and its timers, and what other validators say, which comes
 * straight from the network's process (node/messageDoor.ts). Nothing that takes long is done here, so that no vote waits for a block that is executed.
 * Everything of the chain is asked of the main thread (node/consensusThread.ts).
 */
import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { createValidatorSet, type ValidatorSet } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { epochOf } from '../execution/epoch.ts'
import type { ChainNews, ConsensusHandlers, ConsensusWorkerData, MainHandlers } from './consensusMessages.ts'
import { openJournal } from './journal.ts'
import { relayLog } from './log.ts'
import { watchLoopDelay } from './loopDelay.ts'
import { createMessageDoor } from './messageDoor.ts'
import { openSigner } from './openSigner.ts'
import { createThreadPipe } from './threadPipe.ts'
import { createValidator } from './validator.ts'

/** Sets that are kept: that of now, and of the blocks just before. */
const SETS_MAX = 3

assert(parentPort, 'this file runs as a worker')
const { chainId, epochBlocks, directory, key, ...begin } = workerData as ConsensusWorkerData
const sets = new Map<number, ValidatorSet>()
let news: ChainNews = begin.news
takeSet(news)

const handlers: ConsensusHandlers = {
  start: () => validator.start(),
  news(next) {
    news = next
    takeSet(next)
  },
  wake() {
    news = { ...news, isWaiting: true }
    validator.wake()
  },
  adopt: (final) => validator.adopt(final),
  signHello: ({ genesisHash, peerId }) => signer.signHello(genesisHash, peerId),
  openDoor: () => door.open(),
  async stop() {
    door.close()
    await validator.stop()
    stopWatching()
    await signer.close()
    journal.close()
  },
}

const main = createThreadPipe<MainHandlers, ConsensusHandlers>(parentPort, handlers)
const log = relayLog((room, level, event, facts) => main.tell('log', { room, level, event, facts }))
const stopWatching = watchLoopDelay((delay) => main.tell('delay', delay))
const journal = openJournal(directory)
const signer = await openSigner(key, { domain: { chainId, epochOf: epochOfHeight }, log: log.child('signer') })
const door = createMessageDoor({
  onMessage: ({ message, from }: { readonly message: Uint8Array; readonly from: string }) => validator.takeMessage(message, from),
})
const validator = createValidator({
  chainId,
  chain: {
    head: () => news.head,
    isWaiting: () => news.isWaiting,
    build: (request) => main.call('build', request),
    check: (request) => main.call('check', request),
    decide: (decision) => main.call('decide', decision),
    commitOf: (height) => main.call('commitOf', height),
    sendBlock: (blockHash) => main.tell('sendBlock', blockHash),
  },
  setAt: (height) => sets.get(epochOfHeight(height)),
  signer,
  net: {
    broadcast: (message) => void door.tell('broadcast', message),
    sendTo: (peer, message) => void door.tell('sendTo', { peer, message }),
    blame: (peer, why) => void door.tell('blameDirect', { peer, why }),
  },
  journal,
  log,
  nowMs: Date.now,
  onAhead: () => main.tell('ahead', undefined),
  onEvidence: (evidence) => main.tell('evidence', evidence),
  onFatal: (error) => main.tell('fatal', error instanceof Error ? error.message : String(error)),
})
main.listen()
flushCompileCache() // a thread that is ended with its process keeps nothing of itself

function epochOfHeight(height: number): number {
  return epochOf(BigInt(height), { epochBlocks })
}

function takeSet({ set }: ChainNews): void {
  if (!set) return
  const created = createValidatorSet(set.epoch, set.members)
  assert(created.ok, 'the chain tells of validators that are no set')
  const [oldest] = sets.keys()
  if (sets.size >= SETS_MAX && oldest !== undefined) sets.delete(oldest)
  sets.set(set.epoch, created.set)
}
