/** Ethereum's precompiles take more gas on this chain than on Ethereum, and are otherwise Ethereum's. Spec: docs/spec/transactions.md#gas */
import { type Hex, hexToBytes, numberToHex, pad } from 'viem'
import { expect, test } from 'vitest'
import { createCommon } from '../../execution/ethereumRules.ts'
import { VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { createState } from '../../execution/state.ts'
import { createVm, type Vm } from '../../execution/vm.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { CALLER, ENV, PARAMS } from '../precompiles/frame.ts'

const P256_VERIFY: Hex = pad('0x100', { size: 20 })
const BLAKE2F: Hex = pad('0x09', { size: 20 })
const BN254_ADD: Hex = pad('0x06', { size: 20 })
const SHA256: Hex = pad('0x02', { size: 20 })

const vmOf = (ethereum?: ReturnType<typeof createCommon>): Promise<Vm> =>
  createVm({
    ...{ state: createState(createMemoryStore().reader, VOID_ROOTS), params: PARAMS, precompiles: [], blockHash: () => undefined },
    ...(ethereum ? { ethereum } : {}),
  })
const ours = await vmOf()
const ethereums = await vmOf(createCommon({ chainId: 1, hardfork: 'osaka' }))

const call = (vm: Vm, to: Hex, data: Uint8Array, gas = 1_000_000n) =>
  vm.simulate({ from: CALLER, to, valueWei: 0n, data, gas, gasPriceWei: 0n }, ENV)

function blake2(rounds: number): Uint8Array {
  const input = new Uint8Array(213)
  input.set(hexToBytes(numberToHex(rounds, { size: 4 })))
  return input
}

test('a price is a multiple of Ethereum’s with some for the call, and the answer is the same', async () => {
  const asked: readonly (readonly [Hex, Uint8Array, (gas: bigint) => bigint])[] = [
    [P256_VERIFY, new Uint8Array(160), (gas) => 25n * gas],
    [BN254_ADD, new Uint8Array(128), (gas) => 15n * gas],
    [BLAKE2F, blake2(12), (gas) => 600n + 25n * gas],
    [BLAKE2F, blake2(0), (gas) => 600n + 25n * gas],
    [SHA256, new Uint8Array(100), (gas) => gas],
  ]
  for (const [to, data, priceOf] of asked) {
    const [here, there] = [await call(ours, to, data), await call(ethereums, to, data)]
    expect(here).toEqual({ ...there, gasUsed: priceOf(there.gasUsed) })
  }
})

test('gas is asked for before the work: one less than the price is not enough, and is gone', async () => {
  for (const [to, data, gas] of [[P256_VERIFY, new Uint8Array(160), 172_500n] as const, [BLAKE2F, blake2(0), 600n] as const]) {
    expect(await call(ours, to, data, gas)).toMatchObject({ exception: undefined, gasUsed: gas })
    expect(await call(ours, to, data, gas - 1n)).toMatchObject({ exception: 'out of gas', gasUsed: gas - 1n })
  }
})

test('a call that fails takes all gas, as on Ethereum', async () => {
  const bad = new Uint8Array(128).fill(1)
  const [here, there] = [await call(ours, BN254_ADD, bad), await call(ethereums, BN254_ADD, bad)]
  expect(here.exception).toBeDefined()
  expect(here).toEqual(there)
  expect(here.gasUsed).toBe(1_000_000n)
})
