/** Simulated blocks: calls answer what another node says they would, and blocks follow one another as the specification says. */
import { createPublicClient, getContractAddress, type Hex, http, pad } from 'viem'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { signer } from '../fakes/chain.ts'
import { addressOf } from '../fakes/testChain.ts'
import { type Served, serve } from './serve.ts'

type Simulated = {
  readonly number: Hex
  readonly hash: Hex
  readonly parentHash: Hex
  readonly timestamp: Hex
  readonly calls: readonly Call[]
}
type Call = {
  readonly returnData: Hex
  readonly status: Hex
  readonly gasUsed: Hex
  readonly error?: { readonly code: number }
  readonly logs: readonly Log[]
}
type Log = { readonly address: Hex; readonly topics: readonly Hex[]; readonly data: Hex }

const poor = `0x${'c0'.repeat(20)}` as const
const rich = addressOf(signer(6))
const contract = `0x${'c1'.repeat(20)}` as const
/** Adds one to slot 0, sends a wei on to `poor`, logs and answers the slot. */
const COUNTER: Hex = `0x5f54600101805f555f5f5f5f600173${poor.slice(2)}5af1505f5260205fa060205ff3`
/** Reverts with Error("no"). */
const REVERTS: Hex = `0x${'62461bcd60e51b5f5260206004526002602452616e6f60f01b60445260645ffd'}`
/** The hash of the block that its call data say. */
const HASHER: Hex = '0x5f35405f5260205ff3'
/** Creation code of a contract whose code is HASHER. */
const DEPLOYS: Hex = `0x68${HASHER.slice(2)}5f5260096017f3`

let served: Served
let anvil: Anvil

beforeAll(async () => {
  served = await serve()
  anvil = await startAnvil({ chainId: served.chain.params.chainId })
})
afterAll(async () => {
  await served?.server.close()
  await anvil?.stop()
})

async function ours(payload: object, block = 'latest'): Promise<readonly Simulated[]> {
  return (await served.call('eth_simulateV1', payload, block)) as Simulated[]
}

async function theirs(payload: object): Promise<readonly Simulated[]> {
  const { request } = createPublicClient({ transport: http(anvil.url) })
  return (request as (args: object) => Promise<Simulated[]>)({ method: 'eth_simulateV1', params: [payload, 'latest'] })
}

/** What of a call does not depend on the block that it is in. */
function answers(blocks: readonly Simulated[]): unknown {
  return blocks.map(({ calls }) =>
    calls.map(({ returnData, status, gasUsed, error, logs }) => ({
      returnData,
      status,
      gasUsed,
      failed: error !== undefined, // whose code the specification says, and not anvil
      logs: logs.map(({ address, topics, data }) => ({ address, topics, data })),
    })),
  )
}

describe('as another node says', () => {
  const stateOverrides = { [rich]: { balance: '0xde0b6b3a7640000' }, [contract]: { code: COUNTER, balance: '0x10' } }
  const count = { from: rich, to: contract, gas: '0x30d40' }

  test.each([
    ['calls see what those before them did', { blockStateCalls: [{ stateOverrides, calls: [count, count] }, { calls: [count] }] }],
    [
      'transfers as logs, in their place',
      { blockStateCalls: [{ stateOverrides, calls: [{ ...count, value: '0x7' }] }], traceTransfers: true },
    ],
    [
      'one that reverts answers why, and the next one runs',
      {
        blockStateCalls: [
          {
            stateOverrides: { ...stateOverrides, [poor]: { code: REVERTS } },
            calls: [{ from: rich, to: poor, gas: '0x30d40', value: '0x1' }, count],
          },
        ],
      },
    ],
    ['one that runs out of gas', { blockStateCalls: [{ stateOverrides, calls: [{ ...count, gas: '0x5300' }] }] }],
  ])('%s', async (_, payload) => {
    expect(answers(await ours(payload))).toEqual(answers(await theirs(payload)))
  })
})

test('what was undone has no logs, transfers neither; the call says how it ended', async () => {
  const stateOverrides = { [rich]: { balance: '0xff' }, [poor]: { code: REVERTS } }
  const calls = [
    { from: rich, to: poor, value: '0x1' },
    { from: rich, to: poor, gas: '0x5210' },
  ]
  const [block] = await ours({ blockStateCalls: [{ stateOverrides, calls }], traceTransfers: true })
  expect(block?.calls).toMatchObject([
    { status: '0x0', logs: [], error: { code: 3, message: 'execution reverted: no' } },
    { status: '0x0', logs: [], error: { code: -32015, message: 'out of gas' } },
  ])
})

describe('blocks', () => {
  test('follow one another, with empty ones between; a later one sees code and hashes of those before', async () => {
    const [first, , last] = await ours({
      blockStateCalls: [
        { calls: [{ from: rich, data: DEPLOYS }] },
        {
          blockOverrides: { number: '0x6' },
          calls: [{ from: rich, to: getContractAddress({ from: rich, nonce: 0n }), data: pad('0x4', { size: 32 }) }],
        },
      ],
    })
    expect(first?.number).toBe('0x4')
    expect(last).toMatchObject({ number: '0x6', calls: [{ status: '0x1', returnData: first?.hash }] })
    expect(BigInt(last?.timestamp ?? 0)).toBe(BigInt(first?.timestamp ?? 0) + 2n)
  })

  test('hash to their hash, and nothing of them stays', async () => {
    const payload = { blockStateCalls: [{ calls: [{ from: rich, to: poor, value: '0x1' }] }, {}], returnFullTransactions: true }
    const [first, second] = await ours(payload)
    expect(second?.parentHash).toBe(first?.hash)
    expect(await ours(payload)).toEqual([first, second])
    expect(await served.call('eth_getBalance', poor)).toBe('0x0')
    expect(first).toMatchObject({ transactions: [{ from: rich, to: poor, value: '0x1', type: '0x2' }] })
  })

  test('on an older block', async () => {
    expect((await ours({ blockStateCalls: [{}] }, '0x1'))[0]?.number).toBe('0x2')
  })
})

describe('what could be in no block is refused by its code', () => {
  const call = { from: rich, to: poor }
  const at = (blockOverrides: object) => ({ blockOverrides })
  test.each([
    [
      -38010,
      {
        blockStateCalls: [
          { stateOverrides: { [rich]: { nonce: '0x5' } }, calls: [{ ...call, nonce: '0x4', maxFeePerGas: '0xffffffffff' }] },
        ],
        validation: true,
      },
    ],
    [-38011, { blockStateCalls: [{ calls: [{ ...call, nonce: '0x9', maxFeePerGas: '0xffffffffff' }] }], validation: true }],
    [-38012, { blockStateCalls: [{ calls: [call] }], validation: true }],
    [-38013, { blockStateCalls: [{ calls: [{ ...call, gas: '0x1' }] }] }],
    [-38014, { blockStateCalls: [{ calls: [{ from: poor, to: rich, value: '0x1' }] }] }],
    [-38015, { blockStateCalls: [{ ...at({ gasLimit: '0x186a0' }), calls: [{ ...call, gas: '0x186a1' }] }] }],
    [-38020, { blockStateCalls: [at({ number: '0x5' }), at({ number: '0x5' })] }],
    [-38021, { blockStateCalls: [at({ time: '0xffffffff' }), at({ time: '0xffffffff' })] }],
    [-38026, { blockStateCalls: [at({ number: '0x1000' })] }],
    [-32602, { blockStateCalls: [{ stateOverrides: { [poor]: { movePrecompileToAddress: rich } } }] }],
    [-32602, { blockStateCalls: 'all' }],
  ])('%i', async (code, payload) => {
    expect(await served.fail('eth_simulateV1', payload, 'latest')).toMatchObject({ code })
  })
})
