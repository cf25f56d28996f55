/** Calls of clients run on a thread that has blocks to make: it turns to them between, and gives up what takes too long. */
import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { createSimulator } from '../../node/simulator.ts'
import { createTurns } from '../../node/turns.ts'
import { createFakeChain } from '../fakes/chain.ts'
import { createTestChain } from '../fakes/testChain.ts'
import { serve } from '../rpc/serve.ts'

const to: Hex = `0x${'7c'.repeat(20)}`
/** JUMPDEST, jump to it. */
const endless = { state: { [to]: { code: '0x5b5f56' as Hex } } }

async function openSimulator(workMs?: number) {
  const { store, head, genesis } = await createTestChain()
  const roots = { evmRoot: head().stateRoot, ledgerRoot: head().withdrawalsRoot }
  const at = { reader: store.reader, roots: () => roots, block: () => ({ block: { header: head(), transactions: [] } }) as never }
  return createSimulator({ store: at, params: genesis.params, ...(workMs !== undefined && { workMs }) })
}

test('while a call runs, other work has its turns', async () => {
  const simulator = await openSimulator()
  let isDone = false
  let turns = 0
  const count = () => {
    turns++
    if (!isDone) setImmediate(count)
  }
  setImmediate(count)
  const result = await simulator.at(0n).call({ to, gas: 10_000_000n }, endless)
  isDone = true
  expect(result).toMatchObject({ ok: false, code: 'halted', reason: 'out of gas' })
  expect(turns).toBeGreaterThan(2)
})

test('what takes longer than it may is given up, and the next one runs', async () => {
  const simulator = await openSimulator(5)
  await expect(simulator.at(0n).call({ to, gas: 40_000_000n }, endless)).rejects.toThrow('execution aborted (timeout = 0.005s)')
  const blocks = [{ state: endless.state, calls: [{ to, gas: 16_000_000n }] }]
  await expect(simulator.at(0n).simulate({ blocks, traceTransfers: false, validation: false })).rejects.toThrow('execution aborted')
  expect(await simulator.at(0n).call({ to })).toMatchObject({ ok: true })
})

test('too many that wait are refused, and those that wait are answered', async () => {
  const turns = createTurns({ workMs: 1_000, waitingMax: 2 })
  const gate = Promise.withResolvers<number>()
  const first = turns.run(() => gate.promise)
  const second = turns.run(async () => 2)
  await expect(turns.run(async () => 3)).rejects.toThrow('more than 2 calls wait')
  gate.resolve(1)
  expect([await first, await second, await turns.run(async () => 4)]).toEqual([1, 2, 4])
})

test('a client is told that it was given up', async () => {
  const chain = await createFakeChain()
  const served = await serve({}, chain)
  const code = `0x${'5b'.repeat(3)}5f56`
  const asked = served.fail('debug_traceCall', { to, gas: '0x2faf080' }, 'latest', {
    stateOverrides: { [to]: { code } },
    tracer: 'noopTracer',
  })
  expect(await asked).toMatchObject({ code: -32000, data: { code: 'timeout' } })
  await served.server.close()
})
