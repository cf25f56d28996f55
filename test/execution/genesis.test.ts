import { createAddressFromString } from '@ethereumjs/util'
import { bytesToHex, type Hex, keccak256, numberToHex, toHex } from 'viem'
import { expect, test } from 'vitest'
import { hashHeader } from '../../execution/block.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { getAccount, getL1Info, getSupply } from '../../execution/ledger/tables.ts'
import { createState } from '../../execution/state.ts'
import { decodeGenesis, encodeGenesis, GenesisError } from '../../genesis/genesis.ts'
import { DEPLOYMENT_PROXY, MULTICALL3, OPEN_WEI, RESERVED_FIRST, RESERVED_LAST } from '../../genesis/params.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { addressOf, testAccounts, testGenesis } from '../fakes/testChain.ts'

test('the file and what it says are the same thing', () => {
  const genesis = testGenesis()
  expect(decodeGenesis(encodeGenesis(genesis))).toEqual(genesis)
  expect(encodeGenesis(decodeGenesis(encodeGenesis(genesis)))).toBe(encodeGenesis(genesis))
})

test('equal files give equal blocks; any other file another hash', () => {
  const genesis = testGenesis()
  const { hash, block } = createGenesisBlock(genesis)
  expect(createGenesisBlock(decodeGenesis(encodeGenesis(genesis))).hash).toBe(hash)
  expect(hashHeader(block.header)).toBe(hash)
  expect(block.header.parentHash).toBe(keccak256(toHex(encodeGenesis(genesis))))
  const others = [
    { ...genesis, timestampMs: genesis.timestampMs + 1 },
    { ...genesis, params: { ...genesis.params, protocolBps: 1 } },
    { ...genesis, validators: genesis.validators.map((validator) => ({ ...validator, weight: 2 })) },
    { ...genesis, accounts: genesis.accounts.slice(1) },
  ]
  for (const other of others) expect(createGenesisBlock(other).hash).not.toBe(hash)
})

test('the state: reserved accounts, predeployed code, accounts on both sides, L1, and all of it counted as deposited', async () => {
  const genesis = testGenesis()
  const { roots, writes } = createGenesisBlock(genesis)
  const store = createMemoryStore()
  store.write(writes)
  const state = createState(store.reader, roots)
  for (let n = RESERVED_FIRST; n <= RESERVED_LAST; n++) expect(state.account(numberToHex(n, { size: 20 })).nonce).toBe(1n)
  for (const address of [DEPLOYMENT_PROXY, MULTICALL3]) {
    expect((await state.manager.getCode(createAddressFromString(address))).length).toBeGreaterThan(0)
  }
  const [alice] = testAccounts
  const address = alice ? addressOf(alice) : '0x'
  expect(state.account(address).balance).toBe(1_000_000n * OPEN_WEI)
  expect(getAccount(state.ledger, address)).toEqual({ index: 1, balance: 1_000_000n * OPEN_WEI, prepaid: 0n, unlockAt: 0n, nonce: 0n })
  expect(getL1Info(state.ledger)).toMatchObject({ number: 10n, depositCursor: 0n })
  expect(getSupply(state.ledger)).toEqual({ deposited: 16_000_000n * OPEN_WEI, withdrawn: 0n, evmSupply: 8_000_000n * OPEN_WEI })
  expect(bytesToHex(state.slot('0x0000000000000000000000000000000000000a00', `0x${'00'.repeat(32)}`))).toBe(stripped(roots.ledgerRoot))
})

function stripped(hash: Hex): Hex {
  return `0x${hash.slice(2).replace(/^(00)+/, '')}`
}

/** A file with one member, named by its path, set to something else. */
const edit = (path: string, value: (before: unknown) => unknown): string => {
  const file = JSON.parse(encodeGenesis(testGenesis()))
  const names = path.split('.')
  const last = names.pop() ?? ''
  const parent = names.reduce((node, name) => node[name], file)
  parent[last] = value(parent[last])
  return JSON.stringify(file)
}

test.each([
  ['no JSON', '{', 'file must be JSON'],
  ['no object', '[]', 'file must be an object'],
  ['an unknown member', edit('more', () => 1), 'file.more must be none of this name'],
  ['a number for an amount', edit('accounts.0.evmWei', () => 5), 'accounts[0].evmWei must be a decimal string'],
  ['a checksummed address', edit('l1.portal', (before) => String(before).toUpperCase()), 'l1.portal must be 20 bytes as lowercase hex'],
  ['no validators', edit('validators', () => []), 'validators must be a list of 1 to 128'],
  ['an amount beyond 96 bits', edit('accounts.0.ledgerWei', () => String(2n ** 96n)), 'accounts[0] must be amounts below 2^96 wei'],
  [
    'an account twice',
    edit('accounts', (before) => [(before as unknown[])[0], (before as unknown[])[0]]),
    'accounts must be each address once',
  ],
  ['a share that no vote may set', edit('params.protocolBps', () => 2_001), 'params.protocolBps must be from 0 to 2000'],
  ['stake that leaves too soon', edit('params.unbondingSec', () => 9), 'params.unbondingSec must be at least epochSec + vestingSec'],
  ['a block no batch can hold', edit('params.blockBytesMax', () => 750_001), 'params.blockBytesMax must be at most 750000'],
])('a file with %s is refused, naming the place', (_, text, message) => {
  expect(() => decodeGenesis(text)).toThrow(GenesisError)
  expect(() => decodeGenesis(text)).toThrow(message)
})
