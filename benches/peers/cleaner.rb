# DatabaseCleaner beside resetd, on ActiveRecord.
#
# usage: cleaner.rb PORT ROLE DATABASE. It says "ready VERSION", reads the name
# of a strategy (deletion, truncation) from each line, cleans the database by
# it, and answers how many milliseconds that took.

require "active_record"
require "database_cleaner"

port, role, database = ARGV
ActiveRecord::Base.establish_connection(
  adapter: "postgresql", host: "127.0.0.1", port: port, username: role, database: database
)
ActiveRecord::Base.connection.execute("SELECT 1")
puts "ready #{Gem::Specification.find_by_name("database_cleaner").version}"
$stdout.flush
$stdin.each_line do |line|
  cleaner = DatabaseCleaner[:active_record]
  cleaner.strategy = line.strip.to_sym
  begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  cleaner.clean
  took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun
  puts took * 1000
  $stdout.flush
end
