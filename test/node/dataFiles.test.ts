/** Files of the data folder that hold something else than they must: an error that names the file, and no other. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { devnetMembers } from '../../node/devnetValidators.ts'
import { DataFileError } from '../../node/jsonFile.ts'
import { createPendingTxStore } from '../../node/pendingTxStore.ts'
import { openStore, StoreError } from '../../node/store.ts'
import { testFolder } from '../fakes/diskChain.ts'

const garbage = ['', 'garbage', '[]', 'null', '7', '{}', '{"p2pPorts":7}', '{"p2pPorts":[]}', '{"p2pPorts":["9600"]}', '{"p2pPorts":[0]}']

test('a devnet whose list of validators is damaged says so, and leaves it alone', async () => {
  for (const text of [...garbage, '{"p2pPorts":[9600,65536]}', '{"p2pPorts":[9600,9600]}', `{"p2pPorts":[${'1,'.repeat(500)}1]}`]) {
    const folder = testFolder()
    writeFileSync(join(folder, 'validators.json'), text)
    const opened = devnetMembers(folder, { count: 4, host: '127.0.0.1', port: 0 })
    await expect(opened).rejects.toThrow(DataFileError)
    await expect(opened).rejects.toThrow('validators.json must hold')
  }
})

test('a list of ports that is good is taken', async () => {
  const folder = testFolder()
  writeFileSync(join(folder, 'validators.json'), '{"p2pPorts":[29600,29601]}')
  const members = await devnetMembers(folder, { count: 4, host: '127.0.0.1', port: 0 })
  expect(members.map(({ p2pPort }) => p2pPort)).toEqual([29_600, 29_601])
})

test('a pending transaction that is damaged is an error of the store', async () => {
  const store = await openStore(testFolder(), { durable: false })
  onTestFinished(() => store.close())
  const pending = createPendingTxStore(store, 'poster')
  const hash = `0x${'ab'.repeat(32)}` as const
  for (const text of [
    '',
    'x',
    '[]',
    '{}',
    '{"nonce":"x","raw":"0x","hashes":[]}',
    '{"nonce":"1","raw":1,"hashes":[]}',
    `{"nonce":"1","raw":"0x","hashes":[1]}`,
  ]) {
    await store.writeMeta('pending-poster', new TextEncoder().encode(text))
    await expect(pending.load()).rejects.toThrow(StoreError)
  }
  await pending.save({ nonce: 7n, raw: '0x02', hashes: [hash] })
  expect(await pending.load()).toEqual({ nonce: 7n, raw: '0x02', hashes: [hash] })
})
