/** The doors in the real EVM: who is seen to call, what each kind of call may do, where the value goes, and what a revert undoes. */
import { bytesToHex, concatHex, encodeErrorResult, encodeFunctionData, type Hex, hexToBytes, zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { addBalance, getAccount, getSupply, putEvmExits, putL1Info, putSupply } from '../../execution/ledger/tables.ts'
import { FAILED_ERROR, ledgerDoorAbi } from '../../execution/native/doorAbi.ts'
import { codeBytes32 } from '../../execution/native/nativeType.ts'
import { createState, type State } from '../../execution/state.ts'
import { createVm, type EvmCallOutcome } from '../../execution/vm.ts'
import { DOOR } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { ENV, PARAMS } from './frame.ts'

const USER: Hex = '0x000000000000000000000000000000000000c0de'
const FRIEND: Hex = '0x000000000000000000000000000000000000f71e'
const CONTRACT: Hex = '0x000000000000000000000000000000000000babe'

/** Forwards its call data to the LEDGER door and hands on what comes back; `end` says what it does after a success. */
function forwarder(kind: 'call' | 'callcode' | 'delegatecall' | 'staticcall', end: 'return' | 'revert'): Hex {
  const takesValue = kind === 'call' || kind === 'callcode'
  const opcode: Hex = { call: '0xf1', callcode: '0xf2', delegatecall: '0xf4', staticcall: '0xfa' }[kind] as Hex
  const copyCallData: Hex = '0x36600060003760006000366000'
  const value: Hex = takesValue ? '0x34' : '0x'
  const copyAnswer: Hex = '0x3d600060003e'
  const start = concatHex([copyCallData, value, '0x73', DOOR.ledger, '0x5a', opcode, copyAnswer])
  // success: jump behind the revert that hands on a failure (6 bytes: PUSH1 dest JUMPI returndatasize PUSH1 0 revert)
  const destination = (start.length - 2) / 2 + 7
  const jump: Hex = `0x60${destination.toString(16).padStart(2, '0')}57`
  return concatHex([start, jump, '0x3d6000fd', '0x5b', end === 'return' ? '0x3d6000f3' : '0x60006000fd'])
}

type Chain = { readonly state: State; call(to: Hex, data: Hex, valueWei?: bigint): Promise<EvmCallOutcome> }

/** A chain on which the user has 100 wei in the EVM and the contract runs this code. */
async function chainWith(code: Hex): Promise<Chain> {
  const state = createState(createMemoryStore().reader, VOID_ROOTS)
  for (const { address } of PRECOMPILES) putAccount(state, address, { nonce: 1n, balanceWei: 0n })
  putAccount(state, USER, { nonce: 0n, balanceWei: 100n })
  putAccount(state, CONTRACT, { nonce: 1n, balanceWei: 0n })
  state.putCode(CONTRACT, hexToBytes(code))
  putSupply(state.ledger, { deposited: 200n, withdrawn: 0n, evmSupply: 100n })
  putEvmExits(state.ledger, { perHourWei: 100n, usedWei: 0n, atSec: 0n })
  putL1Info(state.ledger, {
    number: 1n,
    hash: zeroHash,
    timestampSec: 0n,
    baseFee: 1n,
    blobBaseFee: 1n,
    prevRandao: zeroHash,
    depositCursor: 0n,
  })
  addBalance(state.ledger, FRIEND, 100n)
  const vm = await createVm({ state, params: PARAMS, precompiles: PRECOMPILES, blockHash: () => undefined })
  return {
    state,
    call: (to, data, valueWei = 0n) =>
      vm.simulate({ from: USER, to, valueWei, data: hexToBytes(data), gas: 1_000_000n, gasPriceWei: 0n }, ENV),
  }
}

function putAccount(state: State, address: Hex, { nonce, balanceWei }: { readonly nonce: bigint; readonly balanceWei: bigint }): void {
  const account = state.account(address)
  account.nonce = nonce
  account.balance = balanceWei
  state.putAccount(address, account)
}

const give = (amount: bigint): Hex => encodeFunctionData({ abi: ledgerDoorAbi, functionName: 'transfer', args: [0, FRIEND, amount] })
const failedWith = (code: string): Hex => encodeErrorResult({ abi: [FAILED_ERROR], args: [codeBytes32(code)] })

/** Where the 200 wei are, and how many operations the native lane heard of. */
function standOf(state: State) {
  const evm = Object.fromEntries([USER, CONTRACT, DOOR.ledger].map((address) => [address, state.account(address).balance]))
  return {
    evm,
    friend: getAccount(state.ledger, FRIEND).balance,
    evmSupply: getSupply(state.ledger).evmSupply,
    operations: state.takeOperations(),
  }
}

const UNTOUCHED = { evm: { [USER]: 100n, [CONTRACT]: 0n, [DOOR.ledger]: 0n }, friend: 100n, evmSupply: 100n, operations: [] }

test('value of a call leaves the EVM for the ledger, and the native lane hears who called', async () => {
  const { state, call } = await chainWith('0x')
  const { exception, logs, output } = await call(DOOR.ledger, give(30n), 30n)
  expect([exception, output, logs.map(({ address }) => address)]).toEqual([undefined, '0x', [DOOR.ledger]])
  expect(standOf(state)).toMatchObject({
    evm: { [USER]: 70n, [DOOR.ledger]: 0n },
    friend: 130n,
    evmSupply: 70n,
    operations: [{ caller: USER, fields: { kind: 0, to: FRIEND, amount: 30n } }],
  })
})

test('a contract that calls is the caller', async () => {
  const { state, call } = await chainWith(forwarder('call', 'return'))
  expect((await call(CONTRACT, give(30n), 30n)).exception).toBeUndefined()
  expect(standOf(state)).toMatchObject({ friend: 130n, operations: [{ caller: CONTRACT }] })
})

test('a frame that reverts after the call takes everything back', async () => {
  const { state, call } = await chainWith(forwarder('call', 'revert'))
  const { exception, logs } = await call(CONTRACT, give(30n), 30n)
  expect([exception, logs]).toEqual(['revert', []])
  expect(standOf(state)).toEqual(UNTOUCHED)
})

test('a refusal reaches the contract as Failed(code), and the value comes back', async () => {
  const { state, call } = await chainWith(forwarder('call', 'return'))
  expect(await call(CONTRACT, give(31n), 30n)).toMatchObject({ exception: 'revert', output: failedWith('wrongValue') })
  expect(standOf(state)).toEqual(UNTOUCHED)
})

for (const [kind, code] of [
  ['delegatecall', 'delegatedCall'],
  ['callcode', 'delegatedCall'],
  ['staticcall', 'staticCall'],
] as const) {
  test(`an operation in a ${kind} is refused`, async () => {
    const { state, call } = await chainWith(forwarder(kind, 'return'))
    const valueWei = kind === 'staticcall' ? 0n : 30n
    expect(await call(CONTRACT, give(30n), valueWei)).toMatchObject({ exception: 'revert', output: failedWith(code) })
    expect(standOf(state)).toEqual(UNTOUCHED)
  })

  test(`a view in a ${kind} answers`, async () => {
    const { call } = await chainWith(forwarder(kind, 'return'))
    const data = encodeFunctionData({ abi: ledgerDoorAbi, functionName: 'supply' })
    const word = (value: number) => value.toString(16).padStart(64, '0')
    expect(await call(CONTRACT, data)).toMatchObject({ exception: undefined, output: `0x${word(200)}${word(0)}${word(100)}` })
  })
}

test('running out of gas in a door takes the gas of its frame and changes nothing', async () => {
  const { state } = await chainWith('0x')
  const vm = await createVm({ state, params: PARAMS, precompiles: PRECOMPILES, blockHash: () => undefined })
  const data = hexToBytes(give(30n))
  const outcome = await vm.simulate({ from: USER, to: DOOR.ledger, valueWei: 30n, data, gas: 10_711n, gasPriceWei: 0n }, ENV)
  expect(outcome).toMatchObject({ exception: 'out of gas', gasUsed: 10_711n, output: bytesToHex(new Uint8Array()) })
  expect(standOf(state)).toEqual(UNTOUCHED)
})
